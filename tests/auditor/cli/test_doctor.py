"""`auditor doctor`: what it proves, what it warns of, and what it leaves alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.systems.doctor import SystemReport, _examine
from checks.clocks import ClockBounds, narrow
from probes.contract import Reason, UnprovedError
from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_doctor_proves_read_only_and_shows_clocks(stand: Stand) -> None:
    done = auditor("doctor", "--map", stand.map_file, "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert [row["system"] for row in rows] == ["crm", "billing", "queue to_billing/dead"]
    assert "write is refused" in rows[0]["read_only"]
    assert "±" in rows[0]["clock"]


def test_doctor_warns_where_nothing_proves_that_a_system_cannot_be_written_to(stand: Stand) -> None:
    def unproved(_: object) -> str:
        raise UnprovedError(Reason.PERMISSION, "it is not proved", hint="give it SELECT only")

    reader = stand.readers["crm"]
    reader.probe.prove_read_only = unproved  # type: ignore[method-assign,assignment]
    found = _examine(stand.map, reader, None, None)
    assert found.ok
    assert found.read_only == "not proved"
    assert "warning: it is not proved (give it SELECT only)" in found.remarks


def test_doctor_tells_that_a_clock_was_set(stand: Stand, places: list[object]) -> None:
    stand.agree(3)
    stepped = narrow(
        ClockBounds(lower_s=99, upper_s=100, measured_at=datetime.now(UTC)), stand.readers["crm"].probe.clock()
    )
    with stand.ledger.write() as transaction:
        stand.ledger.measurements.save_health(transaction, "crm", stand.readers["crm"].health, stepped)
    (stand.place / "var").mkdir()
    told = auditor("doctor", *places, AUDITOR_LEDGER=stand.ledger_url).stdout
    assert "crm: its clock was found to have been set at" in told
    assert "billing: its clock" not in told


def test_doctor_makes_no_installation(stand: Stand, places: list[object]) -> None:
    assert auditor("doctor", *places).returncode == 0
    assert not (stand.place / "var").exists()


def test_doctor_names_what_is_wrong(stand: Stand) -> None:
    stand.run("billing", "ALTER TABLE customers RENAME COLUMN amount TO amonut")
    done = auditor("doctor", "--map", stand.map_file, "--json")
    assert done.returncode == 3
    assert "did you mean 'amonut'" in done.stdout


def test_a_mistake_of_the_map_that_a_system_shows_is_a_sentence_without_a_code(
    stand: Stand, places: list[object]
) -> None:
    stand.remap("billing: {collection: customers", "billing: {collection: custmers")
    said = "no table named 'custmers' (did you mean 'customers'?)"
    (found,) = [
        each for each in json.loads(auditor("doctor", *places, "--json").stdout) if each["system"] == "billing"
    ]
    assert found["state"] == said
    assert json.loads(auditor("once", *places, "--json").stdout)[0]["error"] == f"billing: {said}"
    shown = auditor("record", "customer", "1", "--map", stand.map_file)
    assert "no table named 'custmers'" in shown.stdout
    assert "query:" not in shown.stdout


@pytest.mark.parametrize(
    ("index", "seed", "told"),
    [
        ("CREATE INDEX i", "0" * 32, ["for random samples at any time: CREATE INDEX i"]),
        ("CREATE INDEX i", None, ["see what `auditor doctor` says once the auditor has run"]),
        (None, "0" * 32, []),
    ],
)
def test_doctor_tells_what_an_order_of_keys_means_where_something_can_be_done(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, index: str | None, seed: str | None, told: list[str]
) -> None:
    stand.agree(3)
    reader = stand.readers["crm"]
    monkeypatch.setattr(reader, "can_rank", lambda *_: False)
    monkeypatch.setattr(reader.probe, "rank_index", lambda *_: index)
    found = [each for each in _examine(stand.map, reader, seed, None).remarks if "order of its keys" in each]
    assert len(found) == len(told)
    assert all(
        part in each and "estimates hold only once a sweep" in each for each, part in zip(found, told, strict=True)
    )


def test_a_latency_is_shown_to_two_digits_and_kept_exact_for_programs() -> None:
    report = SystemReport(system="crm", latency_s=0.0228, clock="", read_only="", problems=[], remarks=[])
    assert report.as_row()["latency"] == "23 ms"
    assert report.as_document()["latency_ms"] == 22.8


def test_doctor_prints_a_statement_in_one_line(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = f"CREATE INDEX CONCURRENTLY ON customers ({'id, ' * 100}id)"
    report = SystemReport(
        system="crm", latency_s=None, clock="", read_only="", problems=[], remarks=[f"for samples: {statement}"]
    )
    monkeypatch.setattr("auditor.systems.doctor.examine", lambda *_, **__: [report])
    done = CliRunner().invoke(
        app, ["doctor", "--map", str(stand.map_file), "--data", str(stand.map_file.parent / "none")]
    )
    assert f"crm: for samples: {statement}" in done.output.splitlines()
