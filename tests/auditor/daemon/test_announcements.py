"""Changes that the owner announces are enrolled as they happen; a feed that fails costs nothing but that."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from auditor.daemon import announcements
from auditor.daemon.announcements import Listener, Subscriber, Wakes, grouped
from auditor.daemon.daemon import Daemon
from auditor.ledger import Ledger
from auditor.map.loader import load_map
from auditor.systems.caller import ReaderClosedError
from auditor.workspace import Workspace
from probes.contract import Announcements, ProbeError, Reason
from tests import ledgers
from tests.standins.salesforce import APP, Salesforce
from tests.waiting import wait_until

MAP = """\
systems:
  crm:
    kind: salesforce
    url: "${CRM}"
    client_id: "${CLIENT_ID}"
    client_secret: "${CLIENT_SECRET}"
    change_events: true
    event_bus: "${BUS}"
    budget: {timeout: 30s}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: crm
    window: 2h
    key_type: salesforce_id
    fields: {name: {type: string}}
    in:
      crm: {collection: Account, key: Id, changed_at: SystemModstamp, fields: {name: Name}}
      billing: {collection: customers, key: id}
flows:
  to_billing: {data_type: customer, from: crm, to: billing, pattern: batch, every: 1h}
"""


class Running:
    """A daemon whose only flow has an hour between its turns."""

    def __init__(self, place: Path, org: Salesforce) -> None:
        self.org = org
        self.ids = [org.put("Account", Name=f"A{n}") for n in range(3)]
        with closing(sqlite3.connect(place / "billing.sqlite")) as billing, billing:
            billing.execute("CREATE TABLE customers (id text, name text)")
            billing.executemany(
                "INSERT INTO customers VALUES (?, ?)", [(key, f"A{n}") for n, key in enumerate(self.ids)]
            )
        (place / "map.yaml").write_text(MAP)
        ledgers.put(place / "ledger.sqlite")
        words = {
            "CRM": org.url,
            "BUS": org.pubsub.target,
            "PLACE": str(place),
            "CLIENT_ID": APP.client_id,
            "CLIENT_SECRET": APP.client_secret,
        }
        url = f"sqlite:///{place}/ledger.sqlite"
        self.ledger = Ledger(url)
        self.daemon = Daemon(load_map(place / "map.yaml", words), Workspace.at(place / "var", ledger_url=url))
        self.daemon.start()
        wait_until(lambda: self.position() and len(self.rows("probe_runs")) >= 1)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return ledgers.rows(self.ledger, table)

    def position(self) -> str | None:
        """How far the announcements have come, whether or not an audit has noted it."""
        auditor = self.daemon.auditors["to_billing"]
        return auditor._inbox.batch(()).position or auditor.announced_to()

    def close(self) -> None:
        self.daemon.stop()
        self.ledger.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Salesforce() as org:
        org.pubsub.keepalive_s = 0.5
        found = Running(tmp_path, org)
        yield found
        found.close()


def test_a_change_is_enrolled_although_the_next_turn_is_an_hour_away(running: Running) -> None:
    changed = running.ids[1]
    running.org.update(changed, Name="other")
    wait_until(lambda: running.rows("changes"))
    assert [row["key"] for row in running.rows("changes")] == [changed]
    auditor = running.daemon.auditors["to_billing"]
    wait_until(auditor.announced_to)
    assert str(auditor.announced_to()).startswith("/data/AccountChangeEvent ")


def test_a_deletion_is_enrolled_although_no_list_of_changes_has_it(running: Running) -> None:
    running.org.delete(running.ids[2], purge=True)
    wait_until(lambda: running.rows("changes"))
    (row,) = running.rows("changes")
    assert (row["key"], row["operation"]) == (running.ids[2], "delete")


def test_a_feed_that_fails_is_reported_once_and_tried_again(
    running: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "FIRST_PAUSE_S", 0.01)
    caplog.set_level(logging.INFO, "auditor.daemon.announcements")
    running.org.pubsub.fail(grpc.StatusCode.UNAVAILABLE, times=3)
    running.org.pubsub.break_streams()
    wait_until(lambda: any("again" in each for each in caplog.messages))
    assert sum("announces no changes" in each for each in caplog.messages) == 1
    running.org.update(running.ids[0], Name="other")
    wait_until(lambda: running.rows("changes"))


class Fake:
    """An auditor whose owner announces what a test says."""

    def __init__(self, *told: Announcements | Exception, position: str | None = "kept", data_type: str = "d") -> None:
        self.requested: list[str | None] = []
        self.heard: list[Announcements] = []
        self.gaps = 0
        self.announced = 0
        self.woken = 0
        self.flow = self.settings = self
        self.source = _Source(self, list(told))
        self.name = self.source_name = "f"
        self.data_type = data_type
        self.source_spec = None
        self.ended = threading.Event()
        self._position = position

    def announced_to(self) -> str | None:
        return self._position

    def announce(self, announced: Announcements) -> None:
        self.heard.append(announced)
        self.announced += len(announced.keys)

    def announce_gap(self) -> None:
        self.gaps += 1

    def wake(self) -> None:
        self.woken += 1


class _Source:
    def __init__(self, auditor: Fake, told: list[Announcements | Exception]) -> None:
        self._auditor = auditor
        self._told = told

    def announced(self, spec: object, after: str | None, limit: int, wait_s: float) -> Announcements:
        self._auditor.requested.append(after)
        if not self._told:
            self._auditor.ended.set()
            raise ReaderClosedError("f")
        told = self._told.pop(0)
        if isinstance(told, Exception):
            raise told
        return told


def subscriber(auditor: Any) -> Subscriber:
    return Subscriber(auditor=auditor, wake=auditor.wake)


def listened(*auditors: Fake) -> None:
    Listener([subscriber(each) for each in auditors], threading.Event()).start()
    wait_until(auditors[0].ended.is_set)


def test_it_goes_on_where_the_ledger_says() -> None:
    auditor = Fake(Announcements(keys=["1"], position="a"), Announcements(position="b"))
    listened(auditor)
    assert auditor.requested == ["kept", "a", "b"]
    assert [list(each.keys) for each in auditor.heard] == [["1"], []]
    assert auditor.woken >= 1


def test_a_lost_position_is_a_gap_and_a_new_beginning() -> None:
    auditor = Fake(ProbeError(Reason.CURSOR_LOST, "aged out"), Announcements(position="new"))
    listened(auditor)
    assert auditor.requested == ["kept", None, "new"]
    assert auditor.gaps == 1


def test_whatever_fails_it_goes_on_from_the_same_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "FIRST_PAUSE_S", 0.001)
    failures = [ProbeError(Reason.UNREACHABLE, "gone"), ValueError("a bug"), ProbeError(Reason.TIMEOUT, "dead")]
    auditor = Fake(*failures, Announcements(position="a"))
    listened(auditor)
    assert auditor.requested == ["kept", "kept", "kept", "kept", "a"]
    assert auditor.gaps == 0


def test_flows_of_one_data_type_at_one_position_share_a_subscription() -> None:
    first, second = Fake(Announcements(keys=["1"], position="a")), Fake()
    elsewhere, other = Fake(position=None), Fake(data_type="other")
    groups = grouped(map(subscriber, (first, second, elsewhere, other)))
    found: list[list[Any]] = [[each.auditor for each in group] for group in groups]
    assert found == [[first, second], [elsewhere], [other]]
    listened(first, second)
    assert [list(each.keys) for each in second.heard] == [["1"]]
    assert second.woken == 1
    assert second.requested == []


def test_a_flow_that_reads_nothing_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "UNREAD_MOST", 1)
    quick, stuck = Fake(Announcements(keys=["1"], position="a")), Fake()
    stuck.announced = 1
    listen = Listener([subscriber(quick), subscriber(stuck)], threading.Event())
    listen.start()
    wait_until(lambda: quick.heard and stuck.gaps)
    assert (len(quick.heard), stuck.heard) == (1, [])
    quick.announced = 0
    wait_until(quick.ended.is_set)


def test_audits_between_turns_cost_a_fifth_of_a_day_s_calls_at_most() -> None:
    at = [0.0]
    wakes = Wakes(15_000, now=lambda: at[0])
    taken = 0
    for second in range(86_400):
        at[0] = float(second)
        taken += wakes.take()
    assert 1_500 <= taken <= 1_500 + 63
    assert taken * announcements.CALLS_OF_WAKE <= 15_000 * 0.21


def test_a_few_changes_are_read_at_once_however_few_calls_there_are() -> None:
    wakes = Wakes(100, now=lambda: 0.0)
    assert [wakes.take() for _ in range(3)] == [True, False, False]
    assert all(Wakes(None).take() for _ in range(1_000))
