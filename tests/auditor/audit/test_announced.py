"""What an owner announces, from its arrival to the audit that reads it."""

from __future__ import annotations

from auditor.audit.announced import Inbox
from probes.contract import Announcements
from tests.stand import Stand


def test_a_position_counts_once_everything_before_it_is_read() -> None:
    inbox = Inbox()
    inbox.add([1, 2], "a")
    inbox.add([3], "b")
    batch = inbox.batch({1})
    assert (batch.keys, batch.position, batch.entries) == ([1], None, 1)
    inbox.done(batch)
    batch = inbox.batch({2, 3})
    assert (batch.keys, batch.position) == ([2, 3], "b")
    inbox.done(batch)
    assert len(inbox) == 0
    assert inbox.batch(()).position is None


def test_of_positions_without_records_the_latest_is_kept() -> None:
    inbox = Inbox()
    for position in ("a", "b", "c"):
        inbox.add([], position)
    assert len(inbox) == 0
    batch = inbox.batch(())
    assert (batch.position, batch.entries) == ("c", 1)


def test_a_gap_stays_known_until_an_audit_has_noted_it() -> None:
    inbox = Inbox()
    inbox.add([], None, gap=True)
    inbox.add([], "a")
    assert len(inbox) == 1
    batch = inbox.batch(())
    assert (batch.gap, batch.position) == (True, "a")
    inbox.done(batch)
    assert not inbox.batch(()).gap


def test_what_cannot_be_read_now_stays() -> None:
    inbox = Inbox()
    inbox.add([1], "a")
    batch = inbox.batch(())
    assert batch.stuck
    inbox.done(batch)
    assert inbox.stuck
    assert inbox.look(10) == [1]


def test_a_record_is_looked_at_once_however_often_it_is_announced() -> None:
    inbox = Inbox()
    inbox.add([1, 2, 1], "a")
    inbox.add([2], "b")
    assert inbox.look(10) == [1, 2]
    assert inbox.batch({1, 2}).position == "b"


def position(stand: Stand) -> str | None:
    return stand.ledger.flows.state("to_billing").watermark.announced_to


def test_an_announced_change_is_followed_before_the_next_turn(stand: Stand) -> None:
    stand.agree(3)
    stand.put("crm", 2, "changed", ago_s=0)
    stand.auditor.announce(Announcements(keys=["2", None], position="p1"))
    assert stand.auditor.announced == 1
    result = stand.auditor.recheck(stand.clock.now())
    assert result.changes == 1
    assert stand.auditor.announced == 0
    assert position(stand) == "p1"
    # The list of changes names it again in the next turn, and it is the same change.
    assert stand.audit().changes == 0


def test_a_record_that_was_announced_as_new_is_enrolled_although_it_has_arrived(stand: Stand) -> None:
    stand.agree(3)
    stand.put("crm", 9, "new", ago_s=0)
    stand.put("billing", 9, "new", ago_s=0)
    stand.auditor.announce(Announcements(keys=[9], position="p1"))
    assert stand.auditor.recheck(stand.clock.now()).changes == 1


def test_announcements_that_name_no_record_count_as_skipped(stand: Stand) -> None:
    stand.agree(3)
    stand.auditor.announce(Announcements(position="p1", names_all=False))
    assert stand.auditor.recheck(stand.clock.now()).shed == 1
    stand.auditor.announce_gap()
    assert stand.auditor.recheck(stand.clock.now()).shed == 1
    assert stand.auditor.recheck(stand.clock.now()).shed == 0


def test_nothing_is_forgotten_by_an_audit_that_fails(stand: Stand) -> None:
    stand.agree(3)
    stand.put("crm", 2, "changed", ago_s=0)
    stand.auditor.announce(Announcements(keys=[2], position="p1"))
    stand.run("crm", "ALTER TABLE customers RENAME TO away")
    assert stand.auditor.recheck(stand.clock.now()).error is not None
    assert stand.auditor.announced == 1
    assert position(stand) is None
    stand.run("crm", "ALTER TABLE away RENAME TO customers")
    assert stand.auditor.recheck(stand.clock.now()).error is None
    assert position(stand) == "p1"
