"""Two auditors and one ledger: one audits, the other waits and takes over; what was paused writes nothing more."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from auditor.audit.tenure import Watcher, take_now
from auditor.daemon.daemon import Daemon
from auditor.ledger import (
    LEASE_S,
    FlowState,
    Lease,
    LeaseHeldError,
    LeaseLostError,
    Ledger,
    LedgerError,
    Process,
    Swept,
)
from auditor.ledger import tables as t
from auditor.workspace import Workspace
from tests import HOME, ledgers, warm
from tests.auditor.cli.process import auditor
from tests.auditor.ledger.rows import dump
from tests.auditor.senders.receivers import NOTICE, FakeSlack
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until

KEY = "k" * 32


def someone(number: int) -> Process:
    return Process(does="run", host=f"host{number}", number=number, born="", folder=f"/srv/{number}")


def write_as(ledger: Ledger, token: int) -> None:
    """A transaction of whoever holds this token."""
    other = Ledger(ledger.database.engine.url.render_as_string(hide_password=False))
    other.database.token = token
    try:
        with other.write() as transaction:
            other.flows.save_state(transaction, "f", FlowState(swept=Swept(count=token)))
    finally:
        other.close()


def test_a_lease_is_taken_kept_and_given_back(ledger: Ledger) -> None:
    free = ledger.lease.now()
    assert (free.holder, str(free)) == (None, "nobody")
    token = ledger.lease.take(free, someone(1))
    assert token is not None
    held = ledger.lease.now()
    assert held.holder == someone(1)
    assert held.since_at is not None
    assert held.until_at is not None
    assert (held.until_at - held.since_at).total_seconds() == LEASE_S
    assert str(held).startswith("auditor run on host1, process 1, data folder /srv/1, since ")
    assert ledger.lease.renew(token)
    assert ledger.lease.now().beat != held.beat
    ledger.lease.release(token)
    assert ledger.lease.now().holder is None
    assert not ledger.lease.renew(token)


def test_one_that_looked_too_early_does_not_get_it(ledger: Ledger) -> None:
    free = ledger.lease.now()
    first = ledger.lease.take(free, someone(1))
    assert first is not None
    assert ledger.lease.take(free, someone(2)) is None
    seen = ledger.lease.now()
    ledger.lease.renew(first)
    assert ledger.lease.take(seen, someone(2)) is None
    assert ledger.lease.now().holder == someone(1)


def test_what_was_overtaken_writes_nothing(ledger: Ledger) -> None:
    first = ledger.lease.take(ledger.lease.now(), someone(1))
    assert first is not None
    write_as(ledger, first)
    second = ledger.lease.take(ledger.lease.now(), someone(2))
    assert second is not None
    with pytest.raises(LeaseLostError, match="another auditor has taken over"):
        write_as(ledger, first)
    assert ledger.flows.state("f").swept.count == first
    write_as(ledger, second)
    ledger.lease.release(second)
    with pytest.raises(LeaseLostError):
        write_as(ledger, second)


def sessions_that_wait(ledger: Ledger) -> int:
    with ledger.database.read() as connection:
        blocked = sa.text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        return int(connection.execute(blocked).scalar_one())


@pytest.mark.parametrize("waits", [0, 3])
def test_whoever_takes_over_ends_what_a_holder_left_under_way(postgresql_ledger_url: str, waits: int) -> None:
    """A holder whose way to the server broke off in the middle, and writers of its that wait behind that."""
    ledger = Ledger(postgresql_ledger_url)
    holder, taker = Ledger(postgresql_ledger_url), Ledger(postgresql_ledger_url)
    holder.database.token = ledger.lease.take(ledger.lease.now(), someone(1))
    row = {"flow": "f", "owner": b"", "target": b"", "ring": b"", "agreed_at": datetime.now(UTC)}

    def wait_behind() -> None:
        with contextlib.suppress(LedgerError), holder.write():
            pass

    behind = [threading.Thread(target=wait_behind) for _ in range(waits)]
    with contextlib.suppress(LedgerError), holder.write() as transaction:
        for each in behind:
            each.start()
        wait_until(lambda: sessions_that_wait(ledger) == waits)
        # Many rows at once go through a pipeline, behind which PostgreSQL forgets how long a session may be idle.
        transaction.execute(sa.insert(t.baselines), [{**row, "key": str(number)} for number in range(3)])
        with ThreadPoolExecutor(1) as pool:
            token = pool.submit(taker.lease.take, taker.lease.now(), someone(2)).result(PATIENCE_S)
        assert token == (holder.database.token or 0) + 1
        transaction.execute(sa.select(t.revision))
        pytest.fail("what the taker ended goes on")
    for each in behind:
        each.join(PATIENCE_S)
    # Each was ended too, or came through before the lease went over.
    assert not any(each.is_alive() for each in behind)
    assert ledger.lease.now().holder == someone(2)
    with ledger.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(t.baselines)).scalar_one() == 0
    for each_ledger in (ledger, holder, taker):
        each_ledger.close()


def test_nobody_takes_over_in_the_middle_of_a_transaction(postgresql_ledger_url: str) -> None:
    ledger = Ledger(postgresql_ledger_url)
    first = ledger.lease.take(ledger.lease.now(), someone(1))
    holder, taker = Ledger(postgresql_ledger_url), Ledger(postgresql_ledger_url)
    holder.database.token = first
    taken: list[int | None] = []
    with holder.write() as transaction:
        holder.flows.save_state(transaction, "f", FlowState(swept=Swept(count=1)))
        with taker.database.engine.connect() as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
            with pytest.raises(LedgerError, match="lock timeout"):
                other.execute(sa.select(t.lease).with_for_update())
        assert first is not None
        assert ledger.lease.renew(first), "the holder's own sign of life waits for nothing"
    taken.append(taker.lease.take(taker.lease.now(), someone(2)))
    assert taken == [first + 1]
    assert ledger.flows.state("f").swept.count == 1
    for each in (ledger, holder, taker):
        each.close()


class Actor:
    """A process that wants to audit: it may be paused between any two of its steps."""

    def __init__(self, number: int, url: str) -> None:
        self.number = number
        self.ledger = Ledger(url)
        self.watcher = Watcher(lambda _: False)
        self.steady_s = 1000.0 * number
        self.seen: Lease | None = None
        self.token: int | None = None


class Leases(RuleBasedStateMachine):
    """Three processes, each with a clock of its own, in any order of steps: never two whose writes are accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.ledger = ledgers.at(Path(self.place.name, "ledger.sqlite"))
        self.actors = [Actor(number, url_of(self.ledger)) for number in range(3)]
        self.accepted: list[tuple[int, int]] = []
        self.drawn: dict[int, int] = {}

    @rule(number=st.integers(0, 2), seconds=st.sampled_from([0.5, 3.0, LEASE_S - 0.1, LEASE_S, 3600.0]))
    def time_goes_on_for_one(self, number: int, seconds: float) -> None:
        self.actors[number].steady_s += seconds

    @rule(number=st.integers(0, 2))
    def looks(self, number: int) -> None:
        actor = self.actors[number]
        lease = actor.ledger.lease.now()
        actor.seen = lease if actor.watcher.may_take(lease, actor.steady_s) else None

    @precondition(lambda self: any(actor.seen for actor in self.actors))
    @rule(number=st.integers(0, 2))
    def takes_what_it_saw(self, number: int) -> None:
        actor = self.actors[number]
        if actor.seen is None:
            return
        token = actor.ledger.lease.take(actor.seen, someone(number))
        actor.seen = None
        if token is not None:
            assert token not in self.drawn
            assert all(token > other for other in self.drawn)
            self.drawn[token] = number
            actor.token = token

    @precondition(lambda self: any(actor.token for actor in self.actors))
    @rule(number=st.integers(0, 2))
    def shows_that_it_lives(self, number: int) -> None:
        actor = self.actors[number]
        if actor.token is not None:
            assert actor.ledger.lease.renew(actor.token) == (actor.token == max(self.drawn) and self.is_held())

    @precondition(lambda self: any(actor.token for actor in self.actors))
    @rule(number=st.integers(0, 2))
    def writes(self, number: int) -> None:
        actor = self.actors[number]
        if actor.token is None:
            return
        actor.ledger.database.token = actor.token
        try:
            with actor.ledger.write() as transaction:
                actor.ledger.flows.save_state(transaction, "f", FlowState(swept=Swept(count=actor.token)))
            self.accepted.append((actor.token, number))
            assert actor.token == max(self.drawn)
        except LeaseLostError:
            assert actor.token < self.ledger.lease.now().token
        finally:
            actor.ledger.database.token = None

    @precondition(lambda self: any(actor.token for actor in self.actors))
    @rule(number=st.integers(0, 2))
    def gives_it_back(self, number: int) -> None:
        actor = self.actors[number]
        if actor.token is not None:
            actor.ledger.lease.release(actor.token)

    def is_held(self) -> bool:
        return self.ledger.lease.now().holder is not None

    @invariant()
    def writes_are_accepted_from_one_after_the_other(self) -> None:
        tokens = [token for token, _ in self.accepted]
        assert tokens == sorted(tokens)
        assert all(self.drawn[token] == number for token, number in self.accepted)

    def teardown(self) -> None:
        for actor in self.actors:
            actor.ledger.close()
        self.ledger.close()
        self.place.cleanup()


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)


def test_a_holder_that_shows_that_it_lives_is_left_alone() -> None:
    """Whatever the clocks on the wall say: only a steady clock counts, and it starts anew at every sign of life."""
    watcher = Watcher(lambda _: False)
    held = Lease(token=1, beat=1, holder=someone(1), since_at=None, until_at=None)
    assert not watcher.may_take(held, 0)
    assert not watcher.may_take(held, LEASE_S - 0.1)
    assert not watcher.lives
    held = replace(held, beat=2)
    assert not watcher.may_take(held, LEASE_S)
    assert watcher.lives
    assert not watcher.may_take(held, 2 * LEASE_S - 0.1)
    assert watcher.may_take(held, 2 * LEASE_S)
    assert watcher.may_take(replace(held, holder=None), 0)


# -- with real processes


@contextlib.contextmanager
def running(stand: Stand, folder: str, ledger_url: str, *, cwd: Path = HOME) -> Iterator[warm.Started]:
    """A daemon with a data folder of its own; its log lies in the stand's place under the folder's name."""
    words = ["run", "--map", str(stand.map_file), "--data", str(stand.place / folder)]
    environment = {**os.environ, "AUDITOR_LEDGER": ledger_url, "AUDITOR_DIGEST_KEY": KEY, "PYTHONPATH": str(HOME)}
    with (stand.place / f"{folder}.log").open("wb") as log:
        process = warm.start(words, cwd=cwd, env=environment, err=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def said(stand: Stand, folder: str) -> str:
    return (stand.place / f"{folder}.log").read_text()


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, stand: Stand) -> Iterator[Ledger]:
    """The ledger that both daemons are given."""
    url = stand.ledger_url if request.param == "sqlite" else request.getfixturevalue("postgresql_ledger_url")
    made = Ledger(url)
    yield made
    made.close()


def url_of(ledger: Ledger) -> str:
    return ledger.database.engine.url.render_as_string(hide_password=False)


def holder(ledger: Ledger) -> int:
    lease = ledger.lease.now()
    return lease.holder.number if lease.holder else 0


def runs(ledger: Ledger) -> int:
    return ledgers.count(ledger, "probe_runs")


def test_the_second_waits_says_so_once_and_takes_over_from_one_that_was_killed(stand: Stand, shared: Ledger) -> None:
    stand.put("crm", 1)
    with running(stand, "one", url_of(shared)) as first:
        wait_until(lambda: runs(shared) > 2)
        with running(stand, "two", url_of(shared)) as second:
            wait_until(lambda: "waiting to take over" in said(stand, "two"))
            before = runs(shared)
            wait_until(lambda: runs(shared) > before + 3)
            assert holder(shared) == first.pid
            assert said(stand, "two").count("waiting to take over") == 1
            assert f"process {first.pid}, data folder {stand.place}/one, since " in said(stand, "two")
            status = auditor("status", "--map", stand.map_file, AUDITOR_LEDGER=url_of(shared))
            assert f"audited by auditor run on {os.uname().nodename}, process {first.pid}" in status.stderr
            once = auditor("once", "--map", stand.map_file, "--data", stand.place / "three",
                           AUDITOR_LEDGER=url_of(shared), AUDITOR_DIGEST_KEY=KEY)  # fmt: skip
            assert once.returncode == 3
            assert "another auditor is using the ledger" in once.stderr
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            wait_until(lambda: holder(shared) == second.pid)
            before = runs(shared)
            wait_until(lambda: runs(shared) > before + 1)
            second.terminate()
            assert second.wait(PATIENCE_S) == 0
    assert shared.lease.now().holder is None, "a clean stop leaves it free"
    once = auditor("once", "--map", stand.map_file, "--data", stand.place / "three", "--fail-on", "never",
                   AUDITOR_LEDGER=url_of(shared), AUDITOR_DIGEST_KEY=KEY)  # fmt: skip
    assert "another auditor" not in once.stderr


def pause(process: warm.Started, ledger: Ledger) -> None:
    """Stop a process where it stands; with SQLite not in a transaction, which would hold up everybody."""
    while True:
        process.send_signal(signal.SIGSTOP)
        if not ledger.database.is_sqlite:
            return
        tried = sqlite3.connect(ledger.database.engine.url.database or "", timeout=0, isolation_level=None)
        try:
            tried.execute("BEGIN IMMEDIATE")
            tried.execute("ROLLBACK")
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
        else:
            return
        finally:
            tried.close()


def test_one_that_wakes_after_another_took_over_writes_nothing_and_steps_back(stand: Stand, shared: Ledger) -> None:
    stand.agree(3)
    with running(stand, "one", url_of(shared)) as first:
        wait_until(lambda: runs(shared) > 2)
        with running(stand, "two", url_of(shared)) as second:
            wait_until(lambda: "waiting to take over" in said(stand, "two"))
            pause(first, shared)
            wait_until(lambda: holder(shared) == second.pid, seconds=2 * PATIENCE_S)
            before = runs(shared)
            wait_until(lambda: runs(shared) > before)
            pause(second, shared)
            held = dump(shared)
            first.send_signal(signal.SIGCONT)
            wait_until(lambda: "stepping back" in said(stand, "one"))
            assert dump(shared) == held
            assert "Traceback" not in said(stand, "one")
            second.send_signal(signal.SIGCONT)
            wait_until(lambda: runs(shared) > before + 2)
            assert holder(shared) == second.pid
            second.terminate()
            assert second.wait(PATIENCE_S) == 0
            wait_until(lambda: holder(shared) == first.pid)
            before = runs(shared)
            wait_until(lambda: runs(shared) > before)


def test_one_sqlite_ledger_is_one_by_whatever_way_it_is_reached(stand: Stand) -> None:
    """By its path, by a link, by a relative path: the second always waits."""
    (stand.place / "elsewhere").mkdir()
    link = stand.place / "elsewhere" / "linked.sqlite"
    link.symlink_to(stand.place / "ledger.sqlite")
    ways = {"linked": f"sqlite:///{link}", "relative": "sqlite:///ledger.sqlite"}
    with running(stand, "one", stand.ledger_url):
        wait_until(lambda: stand.count("probe_runs"))
        for folder, url in ways.items():
            with running(stand, folder, url, cwd=stand.place):
                wait_until(lambda folder=folder: "waiting to take over" in said(stand, folder))  # type: ignore[misc]


def test_a_sqlite_ledger_with_two_names_is_refused(stand: Stand) -> None:
    second = stand.place / "second.sqlite"
    os.link(stand.place / "ledger.sqlite", second)
    for command in ("once", "status"):
        done = auditor(
            command, "--map", stand.map_file, "--data", stand.place / "v", AUDITOR_LEDGER=f"sqlite:///{second}"
        )
        assert done.returncode != 0
        assert f"error: the ledger {second} has another name (a hard link)" in done.stderr


def delivered(ledger: Ledger) -> bool:
    with ledger.database.read() as connection:
        return "sent" in connection.execute(sa.select(t.alerts.c.state)).scalars().all()


def test_no_alert_is_sent_twice_by_two_daemons(stand: Stand, shared: Ledger) -> None:
    slack = FakeSlack()
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack: {{webhook: '{slack.url}'}}\n")
    for key in range(1, 4):
        stand.put("crm", key)
    try:
        with running(stand, "one", url_of(shared)) as first, running(stand, "two", url_of(shared)) as second:
            wait_until(lambda: delivered(shared))  # a message under way would be sent again, and say so
            gone, left = (first, second) if holder(shared) == first.pid else (second, first)
            gone.kill()
            gone.wait()
            before = runs(shared)
            wait_until(lambda: holder(shared) == left.pid and runs(shared) > before + 4)
    finally:
        slack.close()
    assert len(slack.got) == 1


def queued(ledger: Ledger) -> None:
    """Put a message into the outbox, as the daemon that held the lease would have done."""
    notice = {**NOTICE, "transition": "test", "summary": "handed over"}
    ledger.outbox.queue_drill("slack", notice, datetime.now(UTC))


def test_a_successor_delivers_what_waits_and_whoever_lost_the_lease_sends_nothing_more(
    stand: Stand, shared: Ledger
) -> None:
    slack = FakeSlack()
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack: {{webhook: '{slack.url}'}}\n")
    stand.agree(3)
    try:
        with running(stand, "one", url_of(shared)) as first:
            wait_until(lambda: runs(shared) > 2)
            with running(stand, "two", url_of(shared)) as second:
                wait_until(lambda: "waiting to take over" in said(stand, "two"))
                pause(first, shared)
                queued(shared)
                wait_until(lambda: holder(shared) == second.pid, seconds=2 * PATIENCE_S)
                wait_until(lambda: delivered(shared))
                pause(second, shared)
                queued(shared)
                first.send_signal(signal.SIGCONT)
                wait_until(lambda: "stepping back" in said(stand, "one"))
                assert len(slack.got) == 1
                second.send_signal(signal.SIGCONT)
                wait_until(lambda: len(slack.got) == 2)
    finally:
        slack.close()
    assert "possible duplicate" not in str(slack.got)


def test_a_daemon_of_the_same_process_is_refused_too(stand: Stand) -> None:
    workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
    tenure = take_now(workspace, "run")
    with pytest.raises(LeaseHeldError, match="stop it to audit here"):
        Daemon(stand.map, workspace)
    tenure.end()
    Daemon(stand.map, workspace).stop()
