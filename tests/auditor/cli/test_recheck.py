"""`auditor recheck`: a daemon in another process reads records next, and the command says what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from tests.auditor.cli.process import auditor
from tests.auditor.cli.test_reload import environment
from tests.daemons import running
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until


def recheck(stand: Stand, *words: object) -> CompletedProcess[str]:
    place = ["--map", stand.map_file, "--data", stand.place / "var", "--wait", f"{PATIENCE_S:g}s"]
    return auditor("recheck", "customer", *words, *place, cwd=None, **environment(stand))


@pytest.fixture
def daemon(stand: Stand) -> Iterator[Stand]:
    """A daemon whose next turn is an hour away."""
    stand.remap("window: 4s", "window: 2h")
    stand.remap("every: 1s", "every: 1h")
    stand.fill(20)
    with running(stand.map_file, stand.place / "var", environment=environment(stand), warmed=True):
        wait_until(lambda: stand.count("probe_runs"))
        yield stand


def test_records_are_read_before_the_next_turn(daemon: Stand) -> None:
    daemon.put("billing", 3, "Eve")
    audits = daemon.count("probe_runs")
    done = recheck(daemon, "3", "4", "999", "--by", "ada", "--json")
    assert done.returncode in {1, 3}, done.stderr
    told = {each["key"]: each for each in json.loads(done.stdout)}
    assert told["3"]["state"] in {"differs", "may differ"}
    assert (told["4"]["state"], told["4"]["detail"]) == ("agrees", "")
    never = "neither system holds it, and no audit has seen it"
    assert (told["999"]["state"], told["999"]["detail"]) == ("not found", never)
    assert {each["asked_by"] for each in told.values()} == {"ada"}
    assert all(each["read_at"] for each in told.values())
    assert daemon.count("probe_runs") > audits
    agreed = recheck(daemon, "4", "--flow", "to_billing")
    assert (agreed.returncode, "1 agrees" in agreed.stderr) == (0, True), agreed.stderr
    mistyped = recheck(daemon, "998")
    assert (mistyped.returncode, "1 not found" in mistyped.stderr) == (3, True), mistyped.stderr


def test_what_cannot_be_asked_is_a_sentence(daemon: Stand) -> None:
    assert "'x' is not a valid key of customer" in recheck(daemon, "x").stderr
    empty = recheck(daemon, "")
    assert (empty.returncode, "is not a valid key of customer: it is empty" in empty.stderr) == (2, True), (
        empty.stderr
    )
    assert "did you mean 'to_billing'" in recheck(daemon, "3", "--flow", "to_biling").stderr
    left = recheck(daemon, "3", "--wait", "0s")
    assert left.returncode in {0, 1, 3}


def test_without_a_daemon_it_says_so(stand: Stand) -> None:
    (stand.place / "var").mkdir()
    done = recheck(stand, "3")
    assert (done.returncode, "no auditor is running with this ledger" in done.stderr) == (3, True)
    assert stand.ledger.rechecks.listed() == []
