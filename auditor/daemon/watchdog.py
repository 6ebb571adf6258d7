"""The watchdog: notices from another process that no audits are being recorded any more, and notifies people.

It reads the ledger only. A failed audit is an audit, too: the daemon that recorded it also reports it, and the
watchdog stays silent. What it has seen and sent is in a file of the data folder, for the next run of a cron job.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any

from auditor.alerts.delivery_rule import after_try
from auditor.alerts.own_notice import own_notice
from auditor.daemon.pulse_file import pulse
from auditor.daemon.vitals import NO_PULSE_S, silent_after_s
from auditor.escaping import visible
from auditor.history.status import stale_after_s
from auditor.ledger import LEASE_S, Lease, Ledger, LedgerError, Process, is_gone, this_process
from auditor.map.integration_map import IntegrationMap
from auditor.senders.contract import Sender
from auditor.storage import private_files
from auditor.workspace import Workspace
from probes.durations import measured
from probes.wording import counted

REPORTS_ITSELF_S = 600.0
"""How long a daemon that lives but cannot write to its ledger is left to report that itself."""

NAMED = 10
"""Most flows that a message names."""

log = logging.getLogger(__name__)


class Holder(Enum):
    """What the holder of the lease is doing.

    GONE: it has ended, hangs, is stopped, or there is none. RENEWS: it shows signs of life in the ledger. LIVES: it
    shows them on this machine, but it cannot write to the ledger.
    """

    GONE = "gone"
    RENEWS = "renews"
    LIVES = "lives"


@dataclass(slots=True, kw_only=True)
class Seen:
    """The last audit of a flow, as the watchdog's own looks have seen it.

    Attributes:
        mark: identifies it; "" if none was ever seen.
        first_s: when a look first saw it, on the monotonic clock of this machine.
        before_s: the last look before that; None if there was none.
        at: when it ended, by the auditor's clock; "" if unknown.
    """

    mark: str
    first_s: float
    before_s: float | None = None
    at: str = ""

    def silence_s(self, now_s: float, now: datetime) -> float:
        """At least how long there has been no other audit.

        No clock that is set, and no sleep of the machine, makes it longer: the clock of the audits counts only as far
        as the looks do not contradict it.
        """
        unchanged_s = now_s - self.first_s
        if not self.at:
            return unchanged_s
        longest_s = math.inf if self.before_s is None else now_s - self.before_s
        return max(unchanged_s, min((now - datetime.fromisoformat(self.at)).total_seconds(), longest_s))


@dataclass(slots=True, kw_only=True)
class Message:
    """A message to one receiver; its state is as in the outbox."""

    notice: dict[str, Any]
    state: str = "pending"
    tries: int = 0
    next_try_at: str = ""
    possible_repeat: bool = False
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Kept:
    """What one look leaves to the next.

    Attributes:
        boot: the start of the machine; the monotonic clock begins with it.
        looked_s: the last look.
        holder: the process that held the lease last.
        pulse: the last sign of life of a daemon of this data folder.
        pulse_s: when a look first saw it.
        opened_at: since when people have been notified that there is no data; "" if there is.
        messages: by transition and receiver.
    """

    boot: str = ""
    looked_s: float | None = None
    holder: dict[str, Any] | None = None
    pulse: int = 0
    pulse_s: float = 0.0
    flows: dict[str, Seen] = field(default_factory=dict)
    opened_at: str = ""
    messages: dict[str, Message] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one look.

    Attributes:
        silent: flows without data, each with how long and since when.
        unread: why the ledger could not be read; "" if it was.
        auditor: who holds the lease, in words.
        undelivered: receivers that have not accepted the message yet, and why.
    """

    silent: tuple[str, ...]
    unread: str
    auditor: str
    undelivered: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether audits are being recorded."""
        return not self.silent and not self.unread


class Watchdog:
    """Looks at one installation.

    Args:
        senders: who is notified.
        now_s: a monotonic clock that all processes of this machine share.
        spare: where it keeps its file while the data folder cannot be written; by default see `spare_file`.
    """

    def __init__(
        self,
        integration_map: IntegrationMap,
        workspace: Workspace,
        senders: Mapping[str, Sender],
        *,
        now_s: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spare: Path | None = None,
    ) -> None:
        self._map = integration_map
        self._workspace = workspace
        self._senders = senders
        self._now_s = now_s
        self._now = now
        self._file = workspace.folder / "watchdog.json"
        self._spare = spare or spare_file(workspace.folder)
        self._kept: Kept | None = None

    def look(self) -> Report:
        """Look once, and send what is due."""
        kept = self._kept = self._load()
        now_s, now = self._now_s(), self._now()
        lease, unread = self._see(kept, now_s)
        self._feel(kept, now_s)
        holder = self._holder(kept, lease, now, now_s)
        silent, longest_s = [], 0.0
        for flow in self._map.flows:
            seen = kept.flows[flow]
            silence_s = seen.silence_s(now_s, now)
            if silence_s > self._limit_s(flow, holder):
                longest_s = max(longest_s, silence_s)
                last = f"last audit {seen.at[:19].replace('T', ' ')} UTC" if seen.at else "no audit seen"
                silent.append(f"{flow} for {measured(silence_s)} ({last})")
        kept.looked_s = now_s
        report = Report(silent=tuple(silent), unread=unread, auditor=self._auditor(lease, holder))
        self._decide(kept, report, now, waits=holder is Holder.LIVES and longest_s <= REPORTS_ITSELF_S)
        self._deliver(kept, now)
        self._save(kept)
        lost = [f"{about}: {each.error}" for about, each in kept.messages.items() if each.error]
        return Report(silent=report.silent, unread=unread, auditor=report.auditor, undelivered=tuple(lost))

    # -- see

    def _see(self, kept: Kept, now_s: float) -> tuple[Lease | None, str]:
        """Note the last audit of every flow; returns the lease, and why the ledger could not be read."""
        last: dict[str, tuple[str, datetime | None]] = {}
        lease, unread = None, ""
        try:
            with self._ledger() as ledger:
                lease = ledger.lease.now()
                last = {flow: ledger.flows.last_run(flow) for flow in self._map.flows}
        except LedgerError as error:
            unread = visible(str(error))
        for flow in self._map.flows:
            before = kept.flows.get(flow)
            mark, at = last.get(flow, ("", None))
            if before is None or (mark and mark != before.mark):
                kept.flows[flow] = Seen(
                    mark=mark, first_s=now_s, before_s=kept.looked_s, at="" if at is None else at.isoformat()
                )
        return lease, unread

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        ledger = self._workspace.existing_ledger()
        if ledger is None:
            raise LedgerError(f"there is no ledger in {self._workspace.folder}")
        try:
            yield ledger
        finally:
            ledger.close()

    def _feel(self, kept: Kept, now_s: float) -> None:
        """Note the daemon's sign of life outside the ledger."""
        present = pulse(self._workspace.folder)
        if present != kept.pulse:
            kept.pulse, kept.pulse_s = present, now_s

    def _holder(self, kept: Kept, lease: Lease | None, now: datetime, now_s: float) -> Holder:
        """What the holder of the lease is doing; if the ledger cannot be read, the last one that was seen."""
        mine = this_process("watchdog", self._workspace.folder)
        if lease is not None:
            kept.holder = asdict(lease.holder) if lease.holder is not None else None
        process = Process(**kept.holder) if kept.holder is not None else None
        if process is None or is_gone(process, mine):
            return Holder.GONE
        until_at = lease.until_at if lease is not None else None
        here = process.born.split()[:2] == mine.born.split()[:2] != []
        if until_at is not None and now < until_at + timedelta(seconds=LEASE_S if here else 4 * LEASE_S):
            return Holder.RENEWS
        beats = now_s - kept.pulse_s <= NO_PULSE_S
        return Holder.LIVES if here and beats and not _is_stopped(process.number) else Holder.GONE

    def _limit_s(self, flow: str, holder: Holder) -> float:
        """How long a flow may go without an audit."""
        described = self._map.flow(flow)
        if holder is Holder.GONE:
            return stale_after_s(described)
        return silent_after_s(described)

    def _auditor(self, lease: Lease | None, holder: Holder) -> str:
        if lease is None:
            return "its process lives" if holder is Holder.LIVES else "unknown"
        if lease.holder is None:
            return "no auditor is running with this ledger"
        words = {
            Holder.GONE: f"the last auditor has ended or no longer responds: {lease}",
            Holder.RENEWS: str(lease),
            Holder.LIVES: f"its process lives and does not write to the ledger: {lease}",
        }
        return words[holder]

    # -- decide and send

    def _decide(self, kept: Kept, report: Report, now: datetime, *, waits: bool) -> None:
        if report.silent and not kept.opened_at and not waits:
            kept.opened_at = now.isoformat()
            self._queue(kept, "opened", report, now)
        elif report.fine and kept.opened_at:
            notified = {about.partition(" ")[2] for about, each in kept.messages.items() if each.state != "pending"}
            kept.messages = {}
            self._queue(kept, "resolved", report, now, only=notified)
            kept.opened_at = ""

    def _queue(
        self, kept: Kept, transition: str, report: Report, now: datetime, *, only: set[str] | None = None
    ) -> None:
        flows = counted(len(report.silent), "flow")
        more = f"; and {len(report.silent) - NAMED} more" if len(report.silent) > NAMED else ""
        opened = f"No data: no audit of {flows} is being recorded"
        causes = (
            [f"The ledger cannot be read: {report.unread}."] if report.unread else [f"Auditor: {report.auditor}."]
        )
        detail = " ".join([f"{'; '.join(report.silent[:NAMED])}{more}.", *causes]) if report.silent else ""
        notice = own_notice(
            transition,
            breach="no_data",
            summary=opened if transition == "opened" else "Audits are being recorded again",
            detail=detail,
            count=len(report.silent),
            peak=max(1, len(report.silent)),
            opened_at=datetime.fromisoformat(kept.opened_at),
            at=now,
        )
        for sender in self._senders:
            if only is None or sender in only:
                kept.messages[f"{transition} {sender}"] = Message(notice=notice, next_try_at=now.isoformat())

    def _deliver(self, kept: Kept, now: datetime) -> None:
        """Send what is due; a message is marked before its request goes out, as in the outbox."""
        for about, message in kept.messages.items():
            sender = self._senders.get(about.partition(" ")[2])
            if message.state == "sending":  # that process has ended meanwhile
                message.state, message.possible_repeat = "pending", True
            due = message.next_try_at and datetime.fromisoformat(message.next_try_at) <= now
            if sender is None or message.state != "pending" or not due:
                continue
            message.state, message.tries = "sending", message.tries + 1
            self._save(kept)
            receipt = sender.send(message.notice, possible_repeat=message.possible_repeat)
            since_at = datetime.fromisoformat(message.notice["at"])
            outcome = after_try(receipt, message.tries, now, message.possible_repeat, since_at=since_at)
            message.state, message.error = outcome["state"], outcome["error"]
            next_at = outcome["next_try_at"]
            message.next_try_at = "" if next_at is None else next_at.isoformat()
            message.possible_repeat = outcome.get("possible_repeat", message.possible_repeat)
            if message.error:
                log.warning("message of the watchdog: %s: %s", about, message.error)

    # -- what one run leaves to the next

    def _load(self) -> Kept:
        """What the last look left; a damaged file counts as none."""
        boot = _boot()
        kept = self._kept
        if kept is None:
            try:
                document = json.loads(self._latest().read_bytes())
                flows = {name: Seen(**each) for name, each in document.pop("flows").items()}
                messages = {about: Message(**each) for about, each in document.pop("messages").items()}
                kept = Kept(**document, flows=flows, messages=messages)
                if kept.holder is not None:
                    Process(**kept.holder)
            except FileNotFoundError:
                kept = Kept(boot=boot)
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("cannot use %s, beginning anew: %s", self._file, type(error).__name__)
                kept = Kept(boot=boot)
        if kept.boot != boot or (kept.looked_s or 0.0) > self._now_s():
            # The machine was started since: an audit may be as old as that, and no older look counts.
            kept.boot, kept.looked_s = boot, 0.0
            for seen in kept.flows.values():
                seen.first_s, seen.before_s = self._now_s(), 0.0
            kept.pulse_s = 0.0
        return kept

    def _save(self, kept: Kept) -> None:
        """Keep it beside the data folder where that cannot be written, lest each run sends its message again."""
        document = json.dumps(asdict(kept)).encode()
        try:
            private_files.write(self._file, document)
        except OSError as error:
            try:
                private_files.write(self._spare, document)
            except OSError:
                log.warning("cannot write %s: %s; the next run may send a message again", self._file, error.strerror)
        else:
            with contextlib.suppress(OSError):
                self._spare.unlink()

    def _latest(self) -> Path:
        """The file that was written last; a spare one of another user does not count."""
        try:
            spare = self._spare.lstat()
        except OSError:
            return self._file
        own = stat.S_ISREG(spare.st_mode) and spare.st_uid == os.getuid()
        try:
            newer = spare.st_mtime_ns > self._file.stat().st_mtime_ns
        except OSError:
            newer = True
        return self._spare if own and newer else self._file


def spare_file(folder: Path) -> Path:
    """Where a watchdog keeps its file while its data folder cannot be written: in the folder of temporary files."""
    name = sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"plumbline-watchdog-{os.getuid()}-{name}.json"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _is_stopped(number: int) -> bool:
    """Whether a process of this machine is paused (proc_pid_stat(5), field 3)."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in {"T", "t"}


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[bool]:
    """Whether no other watchdog of this data folder is running; none will while the block runs."""
    with private_files.held(workspace.folder / "watchdog.lock") as lock:
        yield lock is not None
