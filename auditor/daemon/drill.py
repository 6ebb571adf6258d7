"""The drill: a made-up divergence goes the whole way from two copies to a receiver, and counts nowhere.

Both copies are files of the auditor's own, in a folder that the drill makes and deletes; no connected system is read
or written. They are planned, read, compared, judged and recorded like any flow, in a ledger of the drill's own, so
that no figure has to leave the drill out. The notice about their incident then goes through the outbox of the
daemon's ledger and its senders, labelled as a test.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auditor.alerts.drill_rule import is_due
from auditor.alerts.reporter import Reporter
from auditor.alerts.trial import trial_notice
from auditor.audit.flow_audit import Auditor
from auditor.daemon.stopping import run_all
from auditor.daemon.trouble import News
from auditor.daemon.vitals import Vitals
from auditor.ledger import DrillState, Ledger, LedgerError
from auditor.map.loader import load_map
from auditor.map.settings import Drill
from auditor.storage.private_files import make_folder
from auditor.systems.reader import open_readers
from checks.judgement import Outcome
from probes.contract import ProbeError
from probes.durations import format_duration

TURN_EVERY_S = 5.0

REHEARSAL_S = 60.0
"""How long the made-up divergence may take to become a notice."""

AGAIN_S = 0.5
"""Time between two audits of the drill."""

SUMMARY = "This is a drill of Plumbline. Nothing has happened, and nothing needs to be done."

MAP = """\
systems:
  owner: {kind: sql, url: "sqlite:///${PLACE}/owner.sqlite", zone: UTC}
  target: {kind: sql, url: "sqlite:///${PLACE}/target.sqlite", zone: UTC}
data_types:
  drill:
    owner: owner
    window: 1s
    key_type: integer
    fields: {value: {type: string}}
    in:
      owner: {collection: records, key: id, changed_at: changed_at}
      target: {collection: records, key: id}
flows:
  drill: {data_type: drill, from: owner, to: target, pattern: real-time, every: 1s, sla: {strict: true}}
"""

RECEIVER = "drill"
"""Stands for the senders in the drill's own ledger."""

log = logging.getLogger(__name__)


class DrillError(Exception):
    """The drill does not go on; the text says where it ended."""


def rehearse(place: Path, *, within_s: float = REHEARSAL_S) -> dict[str, Any]:
    """Take a made-up divergence from two copies to the notice about its incident.

    Args:
        place: an empty folder.

    Raises:
        DrillError: the auditor does not see the divergence, or does not report it.
        LedgerError, ProbeError, OSError: a file cannot be used.
    """
    (place / "map.yaml").write_text(MAP, encoding="utf-8")
    loaded = load_map(place / "map.yaml", {"PLACE": str(place)})
    for system in loaded.systems:
        with _copy(place, system) as copy:
            copy.execute("CREATE TABLE records (id integer PRIMARY KEY, value text, changed_at text)")
            copy.execute("CREATE INDEX changed ON records (changed_at)")
            copy.execute("INSERT INTO records VALUES (1, 'agreed', '2000-01-01 00:00:00')")
    with contextlib.ExitStack() as stack:
        ledger = Ledger(f"sqlite:///{place / 'ledger.sqlite'}")
        stack.callback(ledger.close)
        ledger.migrate()
        readers = open_readers(loaded)
        for reader in readers.values():
            stack.callback(reader.close)
        auditor = Auditor(
            flow=loaded.flow("drill"),
            source=readers["owner"],
            target=readers["target"],
            ledger=ledger,
            digest_key=secrets.token_bytes(32),
            reporter=Reporter.of_map(ledger, loaded, [RECEIVER], hold_s=0),
            others=readers,
        )
        if _audited(auditor)[Outcome.AGREED] != 1:
            raise DrillError("two equal copies are not seen as equal")
        with _copy(place, "target") as copy:
            copy.execute("UPDATE records SET value = 'drill'")
        ends_s = time.monotonic() + within_s
        seen = False
        while time.monotonic() < ends_s:
            seen = bool(_audited(auditor)[Outcome.DIVERGENT]) or seen
            waiting = ledger.outbox.due(datetime.now(UTC) + timedelta(days=1), to=RECEIVER)
            if waiting:
                return dict(waiting[0].notice)
            time.sleep(AGAIN_S)
    raise DrillError("no incident was opened for a divergence" if seen else "two different copies are seen as equal")


def _audited(auditor: Auditor) -> Mapping[Outcome, int]:
    result = auditor.audit(datetime.now(UTC))
    if result.error is not None:
        raise result.error[1]
    return result.counts


@contextlib.contextmanager
def _copy(place: Path, system: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(place / f"{system}.sqlite")) as copy, copy:
        yield copy


def drill_notice(original: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The notice of a drill, labelled as a test.

    Args:
        original: the notice about the made-up divergence.
    """
    detail = (
        "A made-up divergence was read, compared, judged and recorded apart from all figures, and became this "
        f"message. It said: {original['summary']}"
    )
    return {**trial_notice(now), "summary": SUMMARY, "detail": detail}


class Drills:
    """Holds drills when they are due, and follows each until its message has been accepted.

    Args:
        closes: whether the sender closes what it opened, so that a second message has to follow.
        folder: the data folder.
        tell: called with each notification for people.
        rehearse: takes a divergence to its notice.
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        drill: Drill,
        ledger: Ledger,
        folder: Path,
        vitals: Vitals,
        tell: Callable[[News], None],
        *,
        closes: bool = False,
        rehearse: Callable[[Path], dict[str, Any]] = rehearse,
        rehearsal_s: float = REHEARSAL_S + 15.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drill = drill
        self._ledger = ledger
        self._place = folder / "drill"
        self._vitals = vitals
        self._tell = tell
        self._closes = closes
        self._rehearse = rehearse
        self._rehearsal_s = rehearsal_s
        self._now = now
        self._now_s = now_s
        self._notice: dict[str, Any] | None = None
        self._begun_s: float | None = None
        self._vitals.drilled(ledger.drills.state().error or "")

    def turn(self) -> None:
        """Begin a drill if one is due, or look how the one under way is getting on. Raises LedgerError."""
        state, now = self._ledger.drills.state(), self._now()
        if state.under_way:
            self._follow(state, now)
        elif is_due(self._drill, state, now):
            self._begin(state, now)

    def _begin(self, state: DrillState, now: datetime) -> None:
        self._ledger.outbox.forget_drill()
        self._ledger.drills.begin(now)
        self._begun_s = self._now_s()
        notices: list[dict[str, Any]] = []
        failed = run_all([lambda: notices.append(self._rehearsed())], self._rehearsal_s)
        if failed:
            self._fail(state, _why(failed[0]))
            return
        self._notice = drill_notice(notices[0], now)
        self._ledger.outbox.queue_drill(self._drill.to, self._notice, self._now())

    def _rehearsed(self) -> dict[str, Any]:
        shutil.rmtree(self._place, ignore_errors=True)  # what a killed process has left
        make_folder(self._place)
        try:
            return self._rehearse(self._place)
        finally:
            shutil.rmtree(self._place, ignore_errors=True)

    def _follow(self, state: DrillState, now: datetime) -> None:
        if self._begun_s is None:  # an earlier process began it
            self._begun_s = self._now_s()
        messages = self._ledger.outbox.drill_messages()
        errors = [error or "no reason given" for mark, error in messages if mark == "failed"]
        if not messages:
            self._fail(state, "the auditor ended before its message was in the outbox")
        elif errors:
            self._fail(state, f"alerts.{self._drill.to} does not accept it: {errors[0]}")
        elif all(mark == "sent" for mark, _ in messages):
            if self._closes and self._notice is not None and len(messages) == 1:
                self._ledger.outbox.queue_drill(self._drill.to, {**self._notice, "transition": "resolved"}, now)
            else:
                self._arrive(state, now)
        elif self._now_s() - self._begun_s > self._drill.within_s:
            last = next((error for _, error in reversed(messages) if error), "no attempt has ended")
            within = format_duration(self._drill.within_s)
            self._fail(state, f"its message to alerts.{self._drill.to} was not accepted within {within}: {last}")

    def _arrive(self, state: DrillState, now: datetime) -> None:
        self._ledger.drills.arrive(now)
        self._begun_s = None
        self._vitals.drilled("")
        log.info("the drill has arrived at alerts.%s", self._drill.to)
        if state.failing_since_at is not None:
            self._report("resolved", state.failing_since_at, now, "A drill has arrived again")

    def _fail(self, state: DrillState, error: str) -> None:
        now = self._now()
        self._ledger.outbox.forget_drill()
        self._ledger.drills.fail(now, error)
        self._begun_s = None
        self._vitals.drilled(error)
        log.error("the drill did not arrive: %s", error)
        if state.failing_since_at is None:
            self._report("opened", now, now, f"The daily drill did not arrive: {error}")

    def _report(self, transition: Any, since_at: datetime, now: datetime, summary: str) -> None:
        detail = (
            "A made-up divergence has to reach alerts.{} every day; until it does, real ones may not arrive either."
        )
        self._tell(
            News(
                transition=transition,
                since_at=since_at,
                at=now,
                summary=summary,
                detail=detail.format(self._drill.to) if transition == "opened" else "",
                breach="drill",
            )
        )


def _why(error: Exception) -> str:
    """Where a drill ended, in words."""
    match error:
        case DrillError():
            return str(error)
        case TimeoutError():
            return "it hangs between reading and its incident"
        case LedgerError() | ProbeError():
            return f"its files cannot be used: {error}"
        case OSError():
            return f"its files cannot be written: {error.strerror or type(error).__name__}"
        case _:
            return f"it failed with {type(error).__name__}"
