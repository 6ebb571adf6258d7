"""The commands about the map: checked, drawn, compared with another, and proposed."""

from __future__ import annotations

import json

from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_check_says_where_more_mistakes_may_show(stand: Stand) -> None:
    words, text = ["--map", stand.map_file], stand.map_file.read_text()
    stand.map_file.write_text(text.replace("kind: sql, url", "kind: sqll, url"))
    hidden = "more may show once these are mended"
    assert auditor("check", *words).stderr == f"{hidden}\n"
    assert json.loads(auditor("check", "--json", *words).stdout)["more"] is True
    assert hidden in auditor("doctor", *words).stderr.splitlines()[-1]
    stand.map_file.write_text(text.replace("zone: UTC", "zone: Utopia"))
    assert auditor("check", *words).stderr == ""


def test_schema_is_json() -> None:
    assert json.loads(auditor("schema").stdout)["title"] == "Plumbline integration map"


def test_an_earlier_map_that_is_not_there_is_no_reason_for_a_new_one(stand: Stand) -> None:
    done = auditor("map", "--map", stand.map_file, "--diff", stand.place / "earlier.yaml")
    assert done.returncode == 2
    assert "earlier.yaml; point to an earlier one with --diff" in done.stderr
    assert "init" not in done.stderr


def test_the_map_is_written_drawn_and_compared(stand: Stand) -> None:
    place = ["--map", stand.map_file]
    assert auditor("map", *place).stdout.startswith("# Integration map")
    assert auditor("map", *place, "--format", "mermaid").stdout.startswith("flowchart LR")
    assert auditor("map", *place, "--format", "svg").stdout.startswith("<svg")
    assert "    overlap: 10s\n" in auditor("map", *place, "--format", "yaml").stdout
    (row,) = json.loads(auditor("map", *place, "--json").stdout)
    assert (row["flow"], row["window"]) == ("to_billing", "4 s")
    other = stand.place / "other.yaml"
    other.write_text(stand.map_file.read_text().replace("window: 4s", "window: 8s"))
    same = auditor("map", *place, "--diff", stand.map_file)
    assert (same.returncode, "are identical" in same.stderr) == (0, True)
    changed = auditor("map", *place, "--diff", other, "--json")
    assert changed.returncode == 1
    assert [edit["path"] for edit in json.loads(changed.stdout)] == ["data_types.customer.window"]
    assert auditor("map", *place, "--format", "png").returncode == 2


def test_discover_proposes_a_map_from_names_or_addresses(stand: Stand) -> None:
    for key in range(1, 9):
        stand.put("crm", key, f"Name {key}")
        stand.put("billing", key, f"Name {key}")
    by_name = auditor("discover", "crm", "billing", "--map", stand.map_file)
    assert by_name.returncode == 0, by_name.stderr
    assert "8 of 8 values equal" in by_name.stdout
    urls = [f"sqlite:///{stand.place}/{name}.sqlite" for name in ("crm", "billing")]
    by_url = auditor("discover", *urls)
    assert "customer_to_billing" in by_url.stdout, by_url.stderr
    assert str(stand.place) not in by_url.stdout
    for words, said in (
        (["crm", "biling"], "did you mean 'billing'"),
        (["crm", "crm"], "mean the same system"),
        (["oracle://x/y", "crm"], "no SQL probe for 'oracle'"),
    ):
        done = auditor("discover", *words, "--map", stand.map_file)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    absent = auditor("discover", f"sqlite:///{stand.place}/no.sqlite", "billing", "--map", stand.map_file)
    assert (absent.returncode, "Traceback" in absent.stderr) == (3, False)


def test_discover_needs_no_more_of_a_map_than_its_systems(stand: Stand) -> None:
    for key in range(1, 9):
        stand.put("crm", key, f"Name {key}")
        stand.put("billing", key, f"Name {key}")
    first = stand.place / "first.yaml"
    first.write_text(stand.map_file.read_text().partition("data_types:")[0])
    found = auditor("discover", "crm", "billing", "--map", first)
    assert (found.returncode, "8 of 8 values equal" in found.stdout) == (0, True), found.stderr
