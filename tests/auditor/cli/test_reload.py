"""`auditor reload`: a daemon in another process reads its map again, and the command says how that went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from tests.auditor.cli.process import auditor
from tests.daemons import running
from tests.stand import Stand
from tests.waiting import wait_until


def reload(stand: Stand, *words: object, **more: str) -> CompletedProcess[str]:
    return auditor("reload", "--data", stand.place / "var", *words, cwd=None, **{**environment(stand), **more})


def status(stand: Stand, *words: object) -> CompletedProcess[str]:
    place = ["--map", stand.map_file, "--data", stand.place / "var"]
    return auditor("status", *place, *words, cwd=None, **environment(stand))


def environment(stand: Stand) -> dict[str, str]:
    return {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}


@pytest.fixture
def daemon(stand: Stand) -> Iterator[Stand]:
    with running(stand.map_file, stand.place / "var", environment=environment(stand), warmed=True):
        wait_until(lambda: stand.ledger.map_loads.standing().in_force)
        yield stand


def test_it_prints_what_changed_and_the_daemon_goes_on_with_it(daemon: Stand) -> None:
    same = reload(daemon)
    assert (same.returncode, same.stdout) == (0, "")
    assert "map.yaml has not changed since the daemon loaded it" in same.stderr
    daemon.map_file.write_text(daemon.map_file.read_text().replace("window: 4s", "window: 8s"))
    done = reload(daemon, "--map", daemon.map_file)
    assert done.returncode == 0, done.stderr
    for word in ("data_types.customer.window", "4s", "8s"):
        assert word in done.stdout
    assert "map.yaml is in force: 1 change" in done.stderr
    document = json.loads(reload(daemon, "--json").stdout)
    assert (document["outcome"], document["changes"], document["mistakes"]) == ("unchanged", [], [])


def test_it_prints_why_a_map_is_refused_and_status_says_so_until_it_is_mended(daemon: Stand) -> None:
    text = daemon.map_file.read_text()
    daemon.map_file.write_text(text.replace("window: 4s", "window: soon"))
    done = reload(daemon)
    assert done.returncode == 2
    assert "map.yaml:7:5 data_types.customer.window: not a duration: 'soon'" in done.stderr
    assert "refused: 1 mistake in" in done.stderr
    refused = json.loads(reload(daemon, "--json").stdout)
    assert (refused["outcome"], refused["mistakes"][0]["line"]) == ("refused", 7)
    broken = status(daemon)
    assert broken.returncode == 2
    assert "a newer map was refused" in broken.stderr
    daemon.map_file.write_text(text)
    said = " ".join(status(daemon).stderr.split())
    assert "a newer map was refused at" in said
    assert "(1 mistake); in force: map loaded at" in said
    assert json.loads(status(daemon, "--json").stdout)["map"]["mistakes"]
    assert reload(daemon).returncode == 0
    assert json.loads(status(daemon, "--json").stdout)["map"]["refused_at"] is None


def test_what_cannot_change_while_it_runs_is_refused_with_a_sentence(daemon: Stand) -> None:
    other = daemon.place / "other.yaml"
    other.write_text(daemon.map_file.read_text())
    elsewhere = reload(daemon, "--map", other)
    assert elsewhere.returncode == 2
    assert "where its map is cannot change while it runs" in elsewhere.stderr
    made = f"sqlite:///{daemon.place}/second.sqlite"
    auditor("once", "--map", other, "--data", daemon.place / "var", "--wait", "0s", AUDITOR_LEDGER=made)
    wait_until((daemon.place / "var" / "daemon.pulse").exists)
    ledger = reload(daemon, AUDITOR_LEDGER=made)
    assert ledger.returncode == 3
    assert "The ledger, the data folder and the ports cannot change while it runs" in " ".join(ledger.stderr.split())


def test_without_a_daemon_it_says_so(stand: Stand) -> None:
    (stand.place / "var").mkdir()
    done = reload(stand)
    assert (done.returncode, "no auditor is running with this ledger" in done.stderr) == (3, True)
    assert stand.ledger.map_loads.asked() == []


def test_a_daemon_that_does_not_answer_is_not_waited_for_without_end(daemon: Stand) -> None:
    done = reload(daemon, "--wait", "0s")
    assert (done.returncode, "the daemon has not answered" in done.stderr) == (3, True)
    assert daemon.ledger.map_loads.asked() == []
