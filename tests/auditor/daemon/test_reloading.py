"""A map that changes while the daemon runs: a good one is put in force, a broken one is refused."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from auditor.daemon import serving
from auditor.daemon.daemon import Daemon
from auditor.daemon.reloading import Reloads, edit_text
from auditor.daemon.trouble import News
from auditor.daemon.vitals import vitals_of
from auditor.ledger import LedgerError, MapLoad
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from probes import registry
from probes.contract import ProbeError, Reason
from tests.daemons import Deaf, running
from tests.stand import MAP, Stand
from tests.waiting import wait_until

SECOND = """\
  to_billing_too: {data_type: customer, from: crm, to: billing, pattern: real-time, every: 1s}
"""


class Running:
    """A daemon of a stand's map, and what reads that map again."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.wanted = threading.Event()
        self.stopping = threading.Event()
        self.in_force: list[IntegrationMap] = []
        self.told: list[News] = []
        self.workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
        self.reloads = Reloads(
            str(stand.map_file), lambda: load_map(stand.map_file, {}), self.wanted, in_force=self.in_force.append
        )
        self.daemon = Daemon(load_map(stand.map_file, {}), self.workspace)
        self.hear(self.daemon)
        self.daemon.start()
        self.reloads.started(self.daemon)

    def hear(self, daemon: Daemon) -> None:
        daemon.tell = self.told.append  # type: ignore[assignment, method-assign]

    def write(self, old: str, new: str) -> None:
        text = self.stand.map_file.read_text()
        assert old in text
        self.stand.map_file.write_text(text.replace(old, new))

    def reload(self) -> MapLoad:
        """Read the map again as after a signal; returns what the ledger says of it."""
        self.wanted.set()
        successor = self.reloads.turn(self.daemon, self.stopping)
        if successor is not None:
            self.daemon = successor
            self.hear(successor)
            successor.start()
            self.reloads.followed(successor)
        return self.stand.ledger.map_loads.listed(1)[0]

    def audited(self, flow: str, more: int = 2) -> None:
        """Wait until a flow has been audited some times more."""
        before = self.runs(flow)
        wait_until(lambda: self.runs(flow) >= before + more, what=flow)

    def runs(self, flow: str) -> int:
        return sum(row["flow"] == flow for row in self.stand.rows("probe_runs"))


@contextmanager
def run(stand: Stand) -> Iterator[Running]:
    made = Running(stand)
    try:
        yield made
    finally:
        made.daemon.stop()


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    server = Deaf()
    yield server
    server.close()


def test_a_changed_map_is_followed_and_what_did_not_change_goes_on(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stand.agree(5)
    with run(stand) as made:
        made.audited("to_billing")
        before = made.daemon
        made.write("    every: 1s\n", "    every: 2s\n    team: billing\n")
        loaded = made.reload()
        after = made.daemon
        assert after is not before
        assert after.readers == before.readers  # the same connections
        assert after.queues[0].probe is before.queues[0].probe
        assert after.auditors["to_billing"].flow.every_s == 2.0
        made.audited("to_billing")
        assert made.in_force == [after.map]
        assert made.daemon.vitals.health().well
    assert (loaded.outcome, loaded.cause) == ("loaded", "signal")
    assert [edit_text(dict(each)) for each in loaded.changes] == [
        "flows.to_billing.team changed:  -> billing",
        "flows.to_billing.every changed: 1s -> 2s",
    ]
    assert "map: flows.to_billing.every changed: 1s -> 2s" in caplog.text
    assert [row["reason"] for row in stand.rows("probe_runs") if row["reason"]] == []


def test_a_flow_that_is_the_same_remembers_and_its_queue_too(stand: Stand) -> None:
    stand.agree(5)
    with run(stand) as made:
        made.audited("to_billing")
        wait_until(lambda: made.daemon.queues[0].memory.states)
        before = made.daemon
        stand.map_file.write_text(stand.map_file.read_text() + SECOND)
        loaded = made.reload()
        assert made.daemon.readers == before.readers
        assert made.daemon.auditors["to_billing"].memory.begun
        assert len(made.daemon.queues[0].memory.states) >= len(before.queues[0].memory.states)
        made.audited("to_billing_too")
        made.audited("to_billing")
    assert [(each["path"], each["change"]) for each in loaded.changes] == [("flows.to_billing_too", "added")]


def test_a_flow_that_was_removed_stops_and_its_incidents_are_over(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, name="Eve")
    stand.map_file.write_text(stand.map_file.read_text() + SECOND)
    with run(stand) as made:
        made.audited("to_billing_too")
        wait_until(lambda: any(row["flow"] == "to_billing_too" for row in stand.rows("breaches")))
        made.write(SECOND, "")
        made.reload()
        assert [*made.daemon.auditors] == ["to_billing"]
        runs = made.runs("to_billing_too")
        made.audited("to_billing", 3)
        assert made.runs("to_billing_too") == runs
        assert not any(row["ended_at"] is None for row in stand.rows("breaches") if row["flow"] == "to_billing_too")
        assert "to_billing_too" not in str(made.daemon.vitals.health())


def test_only_a_system_that_changed_is_opened_again(stand: Stand) -> None:
    with run(stand) as made:
        made.audited("to_billing")
        before = made.daemon
        (stand.place / "moved.sqlite").write_bytes((stand.place / "billing.sqlite").read_bytes())
        made.write("/billing.sqlite", "/moved.sqlite")
        made.reload()
        assert made.daemon.readers["crm"] is before.readers["crm"]
        assert made.daemon.readers["billing"] is not before.readers["billing"]
        assert made.daemon.queues[0].probe is not before.queues[0].probe  # it lives in that system
        assert made.daemon.readers["crm"].others["billing"] is made.daemon.readers["billing"]
        made.audited("to_billing")


def test_a_system_that_announces_is_opened_again_for_the_newer_flows(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run(stand) as made:
        before = made.daemon
        monkeypatch.setattr(before.readers["crm"], "announces", lambda _: True)
        made.write("every: 1s", "every: 2s")
        made.reload()
        assert made.daemon.readers["crm"] is not before.readers["crm"]
        assert made.daemon.readers["billing"] is before.readers["billing"]


def test_a_broken_map_is_refused_and_the_one_in_force_stays(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    with run(stand) as made:
        before = made.daemon
        made.write("window: 4s", "window: soon")
        for _ in range(2):
            refused = made.reload()
        assert made.daemon is before
        made.audited("to_billing")
        assert (refused.outcome, refused.document) == ("refused", None)
        (mistake,) = refused.mistakes
        assert (mistake["file"], mistake["line"], mistake["column"]) == (str(stand.map_file), 7, 5)
        assert f"{stand.map_file}:7:5 data_types.customer.window: " in caplog.text
        (news,) = made.told  # once
        assert (news.transition, news.summary) == (
            "opened",
            "A newer map was refused (1 mistake); the one in force stays",
        )
        assert "map.yaml:7:5 data_types.customer.window" in news.detail
        health = made.daemon.vitals.health()
        assert (health.well, health.as_document()["status"]) == (True, "warn")
        assert health.warnings[0].endswith("1 mistake")
        made.write("window: soon", "window: 4s")
        assert made.reload().outcome == "unchanged"
        assert [each.transition for each in made.told] == ["opened", "resolved"]
        assert made.told[1].since_at == made.told[0].since_at
        assert made.daemon.vitals.health().as_document()["status"] == "pass"
        assert made.daemon is before


def test_a_request_is_answered_once(stand: Stand) -> None:
    with run(stand) as made:
        number = stand.ledger.map_loads.ask(datetime.now(UTC))
        wait_until(made.daemon.map_asked.is_set)
        for _ in range(2):
            made.daemon.map_asked.set()
            assert made.reloads.turn(made.daemon, made.stopping) is None
        answer = stand.ledger.map_loads.load(number)
        assert answer is not None
        assert (answer.cause, answer.outcome) == ("command", "unchanged")
        assert len(stand.ledger.map_loads.listed(10)) == 2  # with the start


def test_a_file_that_has_gone_is_refused(stand: Stand) -> None:
    with run(stand) as made:
        stand.map_file.rename(stand.place / "elsewhere.yaml")
        assert "cannot read" in made.reload().mistakes[0]["message"]
        made.audited("to_billing")


def test_a_map_that_cannot_be_put_in_force_is_refused(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with run(stand) as made:
        before = made.daemon

        def fail(_: object) -> None:
            raise ProbeError(Reason.UNREACHABLE, "its driver is missing")

        made.write("/billing.sqlite", "/moved.sqlite")
        monkeypatch.setattr(registry, "open_record_probe", fail)
        (mistake,) = made.reload().mistakes
        assert "it cannot be used: unreachable: its driver is missing" in mistake["message"]
        assert made.daemon is before
        made.audited("to_billing")


def test_a_start_records_what_changed_since_the_last_and_ends_what_was_refused(stand: Stand) -> None:
    with run(stand) as made:
        made.write("window: 4s", "window: soon")
        made.reload()
    stand.map_file.write_text(MAP.replace("${PLACE}", str(stand.place)).replace("window: 4s", "window: 8s"))
    asked = stand.ledger.map_loads.ask(datetime.now(UTC))
    with run(stand) as made:
        assert [each.transition for each in made.told] == ["resolved"]
        answer = stand.ledger.map_loads.load(asked)
        assert answer is not None
        assert (answer.outcome, answer.changes[0]["path"]) == ("loaded", "data_types.customer.window")
        assert stand.ledger.map_loads.standing().refused is None


def test_what_hangs_is_interrupted_and_everything_is_opened_again(
    stand: Stand, deaf: Deaf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("auditor.daemon.daemon.FINISH_S", 0.0)
    url = f'"postgresql://postgres@127.0.0.1:{deaf.port}/x", budget: {{timeout: 100000s}}'
    text = stand.map_file.read_text().partition("    queues:\n")[0]
    stand.map_file.write_text(text.replace(f'"sqlite:///{stand.place}/billing.sqlite"', url))
    with run(stand) as made:
        wait_until(lambda: deaf.taken)
        ledger, crm = made.daemon.ledger, made.daemon.readers["crm"]
        stand.map_file.write_text(MAP.replace("${PLACE}", str(stand.place)))
        assert made.reload().outcome == "loaded"
        assert made.daemon.readers["crm"] is not crm
        assert made.daemon.ledger is not ledger
        made.audited("to_billing")
        assert not made.daemon.tenure.lost.is_set()
    assert "interrupting work that has not ended after" in caplog.text
    assert {row["reason"] for row in stand.rows("probe_runs")} == {None}


def test_a_stop_while_a_newer_map_waits_is_a_stop(stand: Stand, deaf: Deaf) -> None:
    url = f'"postgresql://postgres@127.0.0.1:{deaf.port}/x", budget: {{timeout: 100000s}}'
    text = stand.map_file.read_text().partition("    queues:\n")[0]
    stand.map_file.write_text(text.replace(f'"sqlite:///{stand.place}/billing.sqlite"', url))
    with run(stand) as made:
        wait_until(lambda: deaf.taken)
        before = made.daemon
        made.write("every: 1s", "every: 2s")
        made.stopping.set()
        assert made.reload().cause == "start"
        assert made.daemon is before
    assert stand.ledger.lease.now().holder is None


def test_a_daemon_that_waited_for_the_lease_starts_with_the_newest_map(stand: Stand) -> None:
    wanted, in_force = threading.Event(), list[IntegrationMap]()
    reloads = Reloads("map.yaml", lambda: load_map(stand.map_file, {}), wanted, in_force=in_force.append)
    vitals = vitals_of(stand.map)
    assert reloads.newest(stand.map, vitals) is stand.map
    text = stand.map_file.read_text()
    for content, flows in ((text + SECOND, ["to_billing", "to_billing_too"]), ("systems: [", ["to_billing"])):
        stand.map_file.write_text(content)
        wanted.set()
        assert [*reloads.newest(stand.map, vitals).flows] == flows
        assert not wanted.is_set()
    assert [len(each.flows) for each in in_force] == [2]


def test_a_ledger_that_fails_on_the_way_is_met_as_at_a_start_and_the_map_is_read_once_more(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run(stand) as made:

        def fail(*_: object) -> None:
            raise LedgerError("the disk is full")

        monkeypatch.setattr(made.daemon, "replaced_by", fail)
        made.write("every: 1s", "every: 2s")
        made.wanted.set()
        assert serving.audit(made.daemon, made.reloads, made.stopping) is made.daemon
        assert made.wanted.is_set()
        assert made.daemon.vitals.health().unready == ("the disk is full",)
        newer = made.reloads.newest(made.daemon.map, made.daemon.vitals)
        assert newer.flow("to_billing").every_s == 2.0


def loads(stand: Stand) -> list[tuple[str, str | None]]:
    return [(each.cause, each.outcome) for each in stand.ledger.map_loads.listed(10)]


def test_a_signal_lets_the_daemon_read_its_map_and_no_secret_gets_out(stand: Stand) -> None:
    secret, later = "hunter2-0123456789", "hunter3-0123456789"
    stand.map_file.write_text(
        stand.map_file.read_text()
        + f"""\
alerts:
  webhook: {{url: "http://127.0.0.1:9/hook", secret: "{secret}"}}
"""
    )
    environment = {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    with running(stand.map_file, stand.place / "var", environment=environment, warmed=True) as daemon:
        wait_until(lambda: loads(stand))
        text = stand.map_file.read_text()
        stand.map_file.write_text(text.replace(secret, later).replace("flows:\n", f"flows:\n{SECOND}"))
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: len(loads(stand)) == 2)
        wait_until(lambda: any(row["flow"] == "to_billing_too" for row in stand.rows("probe_runs")))
        stand.map_file.write_text(text.replace(secret, later).replace("to: billing", f"to: {later}"))
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: len(loads(stand)) == 3)
        runs = stand.count("probe_runs")
        wait_until(lambda: stand.count("probe_runs") > runs)
        assert daemon.poll() is None
        daemon.terminate()
        daemon.wait(60)
    assert loads(stand) == [("signal", "refused"), ("signal", "loaded"), ("start", "loaded")]
    log = (stand.place / "var" / "log").read_text()
    assert "alerts.webhook.secret changed: *** -> ***" in log
    assert "flows.to_billing_too added" in log
    assert "Traceback" not in log
    assert "hunter" not in log
    for file in stand.place.glob("ledger.sqlite*"):
        assert b"hunter" not in file.read_bytes()
