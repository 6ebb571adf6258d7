"""Same situation, two outcomes: what goes wrong between connected systems, and the pattern that prevents it.

Each scenario is a script. It lets something happen, waits, and mends it in the end, as a person would who has
understood it. Played with its pattern, the same thing happens and no harm is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from demo.bus import Bus
from demo.business import Business
from demo.conditions import Conditions

DAY_S = 45.0
"""How long it is until the next day, when a quota is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What a script can touch.

    Attributes:
        prevented: the pattern is in place.
    """

    business: Business
    bus: Bus
    conditions: Conditions
    prevented: bool


Step = float | None
"""For how many seconds to wait; None for as long as the scenario stays broken."""

Script = Callable[[Play], Iterator[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation.

    Attributes:
        lasts_s: how long it stays broken unless it is held: longer than the windows of the company's flows, and
            than it takes until people hear of it.
        situation: what is about to happen; without for how long, which is up to whoever plays it.
        person: what a person does about it, which is also how it ends.
        pattern: what prevents it, in a word or two.
        prevented: the same situation with the pattern.
        decided_for: the system whose copy counts by the decision that a person has to take before it is mended, ""
            if none has to be taken.
    """

    name: str
    title: str
    script: Script
    situation: str
    person: str
    pattern: str
    prevented: str
    lasts_s: float = 60.0
    decided_for: str = ""

    def described(self) -> dict[str, Any]:
        """Everything but the script."""
        names = ("name", "title", "situation", "person", "pattern", "prevented", "lasts_s", "decided_for")
        return {each: getattr(self, each) for each in names}


def _late_sync(play: Play) -> Iterator[Step]:
    play.conditions.lanes = play.prevented
    play.conditions.slow.add("marketing")
    for _ in range(60):
        play.business.change(play.business.any_customer(), plan="team")
    yield None
    play.conditions.slow.discard("marketing")
    play.conditions.lanes = False


def _paused_consumer(play: Play) -> Iterator[Step]:
    play.conditions.held.add("billing")
    yield 3.0 if play.prevented else None
    play.conditions.held.discard("billing")


def _poison_message(play: Play) -> Iterator[Step]:
    broken = {}
    with play.business.company.open("crm") as crm:
        known = crm.execute("SELECT id, email FROM customers ORDER BY random() LIMIT 12").fetchall()
    for key, email in known:
        if not play.prevented:  # the form of the CRM does not accept the address
            broken[key] = email
            play.business.change(key, email=email.replace("@", " at "))
        yield 0.5
    yield None
    for key, email in broken.items():
        play.business.change(key, email=email)
    yield 1.0  # until what was queued with the old address has failed as well
    play.bus.discard()


def _overwritten_address(play: Play) -> Iterator[Step]:
    told = {}
    for _ in range(3):
        key = play.business.any_customer()
        address = f"moved.{key}@example.org"
        if play.prevented:
            play.business.change(key, email=address)
        else:
            told[key] = address
            play.business.edit("billing", key, email=address)
        yield 1.0
    yield None
    for key, address in told.items():
        play.business.change(key, email=address)


def _two_teams(play: Play) -> Iterator[Step]:
    keys = []
    for _ in range(2):
        key = play.business.any_customer("active")
        keys.append(key)
        if play.prevented:
            play.business.change(key, status="past_due")
            play.business.change(key, status="cancelled")
        else:
            row = play.business.edit("crm", key, status="cancelled")
            play.business.edit("billing", key, status="past_due")
            play.business.queue(("marketing", "documents", "messaging", "warehouse"), "customer", row)
            play.business.disputed.add(key)
        yield 1.0
    yield None
    for key in keys:
        play.business.disputed.discard(key)
        play.business.change(key, status="cancelled")


def _double_charge(play: Play) -> Iterator[Step]:
    play.conditions.idempotent = play.prevented
    for _ in range(3):
        key = play.business.invoice(4_900)
        play.business.pay(key)
        with play.business.company.open("billing") as billing:
            invoice = billing.execute("SELECT * FROM invoices WHERE id = ?", (key,)).fetchone()
        play.business.charge(invoice)  # the first request timed out, though it had been carried out
        yield 1.0
    play.conditions.idempotent = True
    yield None
    play.business.refund_doubles()


def _deleted_customer(play: Play) -> Iterator[Step]:
    play.conditions.tombstones = play.prevented
    keys = [play.business.any_customer() for _ in range(3)]
    for key in dict.fromkeys(keys):
        play.business.delete(key)
    play.conditions.tombstones = True
    yield None
    if not play.prevented:
        for key in dict.fromkeys(keys):
            play.business.delete(key)


def _negative_invoice(play: Play) -> Iterator[Step]:
    key = "" if play.prevented else play.business.invoice(-50_000)
    yield None
    if key:
        play.business.correct(key, 50_000)


def _wrong_clock(play: Play) -> Iterator[Step]:
    if play.prevented:
        yield None
        return
    play.conditions.clock_s["billing"] = 90.0
    yield None
    del play.conditions.clock_s["billing"]


def _unreachable_crm(play: Play) -> Iterator[Step]:
    play.conditions.down.add("crm")
    if play.prevented:
        yield 0.9
        play.conditions.down.discard("crm")
    yield None
    play.conditions.down.discard("crm")


def _quota_used_up(play: Play) -> Iterator[Step]:
    if play.prevented:
        yield None
        return
    play.conditions.next_day_s["marketing"] = time.monotonic() + DAY_S
    yield None
    del play.conditions.next_day_s["marketing"]


def _cron_batch(play: Play) -> Iterator[Step]:
    play.conditions.batch_s = 10.0 if play.prevented else 75.0
    yield None
    play.conditions.batch_s = 0.0


def _zone_bug(play: Play) -> Iterator[Step]:
    play.conditions.local_time = not play.prevented
    for _ in range(20):
        play.business.change(play.business.any_customer(), plan="business")
        yield 0.9
    yield None
    play.conditions.local_time = False
    play.business.carry_all("warehouse")


def _replayed_mails(play: Play) -> Iterator[Step]:
    play.conditions.idempotent = play.prevented
    with play.business.company.open("messaging") as messaging:
        newest = messaging.execute("SELECT customer_id FROM mails ORDER BY number DESC LIMIT 5").fetchall()
    # They were sent, but the receipts were lost, and somebody replays them.
    play.business.queue(("messaging",), "welcome", *((key, "welcome") for (key,) in newest))
    yield 3.0
    play.conditions.idempotent = True
    yield None
    with play.business.company.open("messaging") as messaging:
        messaging.execute(
            "DELETE FROM mails WHERE number NOT IN (SELECT min(number) FROM mails GROUP BY customer_id, template)"
        )


_ALL = (
    Scenario(
        name="late-sync",
        title="Late sync",
        script=_late_sync,
        situation="Marketing starts a campaign and can take only two updates a second. All targets share one queue, "
        "so everybody waits behind it.",
        person="Wait until the queue is short again, or give marketing a queue of its own.",
        pattern="A queue for each target",
        prevented="Marketing falls behind alone. Billing, documents, messaging and the warehouse stay on time.",
    ),
    Scenario(
        name="paused-consumer",
        title="Paused consumer",
        script=_paused_consumer,
        situation="The consumer that writes customers to billing stops, and nobody restarts it.",
        person="Start the consumer again; it continues with the backlog.",
        pattern="Supervisor",
        prevented="A supervisor starts it again after 3 s. Everything arrives within its window.",
        lasts_s=90.0,
    ),
    Scenario(
        name="poison-message",
        title="Poison message",
        script=_poison_message,
        situation="Sales enters twelve e-mail addresses with “ at ” instead of “@”. Billing refuses them, and after "
        "five tries they are dead-lettered.",
        person="Correct the addresses in the CRM, and discard the dead letters: the corrected records follow.",
        pattern="Validation at the source",
        prevented="The form in the CRM does not accept such an address.",
    ),
    Scenario(
        name="overwritten-address",
        title="Overwritten address",
        script=_overwritten_address,
        situation="Three customers tell billing their new e-mail address. Billing enters it in its own copy, which "
        "the CRM's next change would overwrite.",
        person="Enter the addresses in the CRM, which owns them.",
        pattern="Source-of-truth rule",
        prevented="Billing's form writes to the CRM, and the new address comes back with the sync.",
    ),
    Scenario(
        name="two-teams",
        title="Two teams editing at once",
        script=_two_teams,
        situation="Sales cancels two customers while billing marks the same two as past due. Each side keeps what it "
        "wrote, and neither hears of the other.",
        person="Decide on the Conflicts page which status counts, here “cancelled” of the CRM, and enter it there.",
        pattern="One writer per field",
        prevented="Billing asks the CRM to set “past due”. Both changes happen there, one after the other.",
        decided_for="crm",
    ),
    Scenario(
        name="double-charge",
        title="Double charge",
        script=_double_charge,
        situation="Three payments time out although they were carried out. They are sent again, and the customers "
        "are charged twice.",
        person="Refund the second payment of each invoice.",
        pattern="Idempotency key",
        prevented="The second request has the key of the first, and billing answers with that payment.",
    ),
    Scenario(
        name="deleted-customer",
        title="Deleted customer that lives on",
        script=_deleted_customer,
        situation="Three customers are deleted in the CRM. The sync carries changes only, so billing still bills and "
        "messaging still writes to them.",
        person="Delete them in the copies, too.",
        pattern="Tombstones",
        prevented="The bus carries deletions like any other change.",
    ),
    Scenario(
        name="negative-invoice",
        title="Negative invoice that synced perfectly",
        script=_negative_invoice,
        situation="An invoice of -500.00 is issued, and the warehouse gets exactly that. The copies agree, and both "
        "are wrong.",
        person="Correct the amount in billing.",
        pattern="Constraint at the owner",
        prevented="Billing refuses to issue it.",
    ),
    Scenario(
        name="wrong-clock",
        title="Clock gone wrong",
        script=_wrong_clock,
        situation="The clock of billing's server jumps 90 s ahead, and with it the time of each change.",
        person="Set the clock, and let a time service keep it.",
        pattern="Time service",
        prevented="The server's clock is kept within milliseconds.",
    ),
    Scenario(
        name="unreachable-crm",
        title="CRM unreachable",
        script=_unreachable_crm,
        situation="The CRM answers nobody. What it owns cannot be verified, which is not the same as wrong.",
        person="Wait for the CRM, or call its vendor.",
        pattern="Standby",
        prevented="A standby answers within a second.",
    ),
    Scenario(
        name="quota-used-up",
        title="Quota used up",
        script=_quota_used_up,
        situation="Somebody's script uses up the requests that marketing allows in a day.",
        person="Find out whose script it is, and give it a quota of its own.",
        pattern="A quota for each client",
        prevented="The script has its own quota, and only the script is refused.",
    ),
    Scenario(
        name="cron-batch",
        title="Cron batch",
        script=_cron_batch,
        situation="Invoices are loaded into the warehouse by a batch every 75 s, and promised within 30 s.",
        person="Load more often than the window is long, or promise less.",
        pattern="A batch that fits the window",
        prevented="The batch runs every 10 s.",
        lasts_s=160.0,
    ),
    Scenario(
        name="zone-bug",
        title="Time-zone bug in a release",
        script=_zone_bug,
        situation="A new release of the loader writes local time where the warehouse expects UTC: every date of "
        "signing that it loads is two hours off.",
        person="Roll back the release, and load all customers again.",
        pattern="Contract test",
        prevented="A test of the loader fails before the release.",
    ),
    Scenario(
        name="replayed-mails",
        title="Replay that mails again",
        script=_replayed_mails,
        situation="Five welcome mails were sent, but the receipts were lost. Somebody replays the messages, and five "
        "customers are welcomed twice.",
        person="Apologize, and remove the second mails from the log. A mail that was sent cannot be taken back.",
        pattern="Idempotency key",
        prevented="Messaging has seen the key of each message and sends nothing.",
    ),
)

SCENARIOS = {each.name: each for each in _ALL}

OPENING = "overwritten-address"
"""What plays by itself soon after the start, so that there is something to see."""
