"""The daemon: every flow and queue audited in its own rhythm, alerts sent, old rows archived."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from auditor.alerts.delivery import open_senders
from auditor.alerts.leftovers import end_leftovers
from auditor.alerts.reporter import Reporter
from auditor.audit.flow_audit import Auditor, by_owner
from auditor.audit.owner_reads import BYTES_LIMIT, RECORDS_LIMIT, OwnerReads
from auditor.audit.queue_audit import QueueAuditor
from auditor.audit.result import AuditResult
from auditor.audit.shares import Shares
from auditor.audit.tenure import Tenure, take_now
from auditor.conflicts.leftovers import close_leftovers
from auditor.daemon.announcements import Listener, Subscriber, Wakes, grouped
from auditor.daemon.archiving import ARCHIVE_EVERY_S, ARCHIVE_HANGS_S, Archiving
from auditor.daemon.drill import REHEARSAL_S, TURN_EVERY_S, Drills
from auditor.daemon.heartbeat import Cycles, Heartbeat
from auditor.daemon.ledger_watch import LedgerWatch
from auditor.daemon.messages import SEND_EVERY_S, SEND_FOR_S, Messages
from auditor.daemon.own_clock import OwnClock
from auditor.daemon.pulse_file import PULSE_FILE_EVERY_S, PulseFile
from auditor.daemon.reloading import RefusedMapError
from auditor.daemon.slack_listener import ButtonsInSlack
from auditor.daemon.stopping import run_all
from auditor.daemon.timetable import Job, Lane, Timetable
from auditor.daemon.trouble import FailedAudits, News, Trouble
from auditor.daemon.vitals import PULSE_EVERY_S, Vitals, silent_limits, vitals_of
from auditor.escaping import visible
from auditor.ledger import LeaseLostError, Ledger, LedgerError
from auditor.map.integration_map import IntegrationMap
from auditor.senders.contract import TIMEOUT_S
from auditor.systems.allowance import open_allowances
from auditor.systems.reader import AIMED_EXCHANGES, SystemReader, open_readers
from auditor.workspace import Workspace
from probes import registry
from probes.contract import ProbeError
from probes.durations import format_duration, measured
from probes.metering import UNMETERED
from probes.queue_contract import QueueProbe
from probes.wording import counted

CLOCK_EVERY_S = 20.0
DEADLINES_AT_MOST_EVERY_S = 0.2
"""Windows that end within this time of each other are probed together."""

ESCALATE_EVERY_S = 5.0
WAKE_EVERY_S = 5.0

HANGS_S = 40.0
"""A job hangs if it runs for longer than this, besides the calls of the system that it needs. A ledger that is
locked, or whose server is silent, fails earlier."""

CHECK_EVERY_S = 10.0
"""Time between two checks of the auditor's own jobs and senders."""

LATE_S = 300.0
"""A receiver that has not accepted a message for this long makes the auditor unhealthy."""

FORGET_EVERY_S = 5.0
"""Shared readings that no audit can use any more are forgotten this often, if not earlier."""

THREADS = 32
"""Most concurrent audits, however many flows there are; more would only wait for each other."""

ALIKE = 4
"""This many concurrent jobs may need the same two systems (or be of a kind other than audits), and all but this many
the same system: a hanging system or owner can block only a share of the threads."""

END_BY_THEMSELVES_S = 2.0
"""How long a stop lets running audits continue."""

FINISH_S = 60.0
"""How long a newer map waits for running audits of the older one."""

FINISH_LOOK_S = 0.5

ASKED_EVERY_S = 1.0
"""How often it is checked whether somebody has asked to read the map again, or some records."""

CUT_OFF_S = 2.0
"""How long a stop waits for jobs that it has interrupted."""

CLOSE_S = 1.0
"""How long a stop waits for connections to close, of the systems and then of the ledger."""

NO_TOKEN = -1
"""No lease has this token, so that nothing can be written with it."""

Audited = Callable[[AuditResult, float], None]
"""Called with a recorded audit, and its duration in seconds."""

log = logging.getLogger(__name__)


class Daemon:
    """Runs a map until it is stopped, or replaced by a daemon of a newer one.

    Args:
        integration_map: valid.
        workspace: where the state is kept.
        tenure: the lease under which it writes; by default it takes its own. It ends with the daemon.
        new_key: accept a digest key other than the ledger's.
        alert_timeout_s: the deadline of one attempt to send a message.
        vitals: where its signs of life are noted.
        audited: called with every recorded audit.
        before: the daemon of an older map, which this one is to replace under the same lease: it shares the
            connections of systems and queues that are the same in both. See `replaced_by`.

    Attributes:
        map_asked: set when somebody has asked by the ledger to read the map again.

    Raises:
        LeaseHeldError: it must take the lease itself, but another process holds it.
        LedgerError: the ledger cannot be used, or was made with another digest key.
    """

    tenure: Tenure
    ledger: Ledger
    digest_key: bytes

    def __init__(
        self,
        integration_map: IntegrationMap,
        workspace: Workspace,
        tenure: Tenure | None = None,
        *,
        new_key: bool = False,
        alert_timeout_s: float = TIMEOUT_S,
        vitals: Vitals | None = None,
        audited: Audited | None = None,
        before: Daemon | None = None,
    ) -> None:
        self.map = integration_map
        self.vitals = vitals or vitals_of(integration_map)
        self.map_asked = threading.Event()
        self._audited = audited
        self._workspace = workspace
        self._alert_timeout_s = alert_timeout_s
        self._stopped = self._fenced = False
        self._goes_on = before is not None
        if before is not None:
            self.tenure, self.ledger, self.digest_key = before.tenure, before.ledger, before.digest_key
            self._open(integration_map, before)
            return
        digest_key = self.digest_key = workspace.digest_key(begin_anew=new_key)
        self.tenure = tenure or take_now(workspace, "run")
        try:
            self.ledger = workspace.ledger()
            self.ledger.database.token = self.tenure.token
            self.ledger.installation.check_key(digest_key, adopt=True, accept_new=new_key)
            self._open(integration_map, None)
        except BaseException:
            self.tenure.end()
            raise

    def _open(self, integration_map: IntegrationMap, before: Daemon | None) -> None:
        """Open everything; nothing is connected yet, and the daemon before is left as it is."""
        alerts = integration_map.alerts
        self._senders = open_senders(alerts, timeout_s=self._alert_timeout_s)
        self._messages = Messages(self.ledger, self._senders, alerts)
        self._cycles = None
        if alerts.heartbeat is not None:
            heartbeat = Heartbeat(alerts.heartbeat, timeout_s=self._alert_timeout_s)
            self._cycles = Cycles(heartbeat, alerts.heartbeat.every_s, self.ledger, self.vitals)
        self._watch = LedgerWatch(list(self._senders))
        self._reporter = Reporter.of_map(self.ledger, integration_map, list(self._senders))
        self._failed_audits = FailedAudits()
        self._archiving = Archiving(self._workspace.archive, self._watch.tell)
        self._own_clock = OwnClock(self._watch.tell)
        self._job_trouble = Trouble("their work is not done", self._watch.tell)
        self._pulse_file = PulseFile(self._workspace.folder)
        kept = {} if before is None else before._readers_kept(integration_map)
        self.allowances = open_allowances(integration_map.systems, self.ledger.spending)
        if before is not None:
            self.allowances |= {name: before.allowances[name] for name in kept}
        self.readers = open_readers(integration_map, self.allowances, kept=kept)
        for name, clock in self.ledger.measurements.clocks().items():
            if name in self.readers and name not in kept:
                self.readers[name].clock = clock
        shares = Shares([integration_map.flow(name) for name in integration_map.flows], self.readers)
        self.auditors = {
            name: Auditor(
                flow=integration_map.flow(name),
                source=self.readers[settings.from_],
                target=self.readers[settings.to],
                ledger=self.ledger,
                digest_key=self.digest_key,
                reporter=self._reporter,
                others=self.readers,
                shares=shares,
            )
            for name, settings in integration_map.flows.items()
        }
        self._groups = by_owner(self.auditors.values())
        self.owner_reads = self._shared_reads()
        probes = {} if before is None else before._probes_kept(integration_map, kept)
        self.queues = [
            QueueAuditor(
                flow=integration_map.flow(flow),
                queue=queue,
                settings=settings,
                probe=probes.get((flow, queue))
                or registry.open_queue_probe(
                    settings,
                    integration_map.system_of(settings),
                    self.allowances.get(getattr(settings, "system", ""), UNMETERED),
                ),
                ledger=self.ledger,
                reporter=self._reporter,
            )
            for (flow, queue), settings in integration_map.queues.items()
        ]
        self._lanes = {
            name: Lane(name, THREADS - ALIKE, doubted=lambda reader=reader: not reader.answers)  # type: ignore[misc]
            for name, reader in self.readers.items()
        }
        # Another clock may take its place, see `_go_on_from`.
        self.timetable = Timetable(THREADS, clock_set=lambda by_s: self._own_clock.was_set(by_s))  # noqa: PLW0108
        self._buttons = ButtonsInSlack(integration_map, self._workspace, self._senders, self.tenure, self.tell)
        self._jobs: dict[str, Job] = {}
        self._subscribers: list[Subscriber] = []
        self._wakes = {name: Wakes(each.budget.calls_per_day) for name, each in integration_map.systems.items()}
        if before is None:
            self._take_ledger()
        else:
            self._wakes |= {name: before._wakes[name] for name in kept}

    def _take_ledger(self) -> None:
        """Hear of how transactions end, and route messages as this map says."""
        self.ledger.database.watch = self._watch
        self.ledger.outbox.routing = self.map.alerts.routing

    def _readers_kept(self, newer: IntegrationMap) -> dict[str, SystemReader]:
        """The readers that a newer map can go on with: their systems are the same in both maps.

        Those that announce changes are bound to their flows by what they wait for, and are opened again.
        """
        announcing = {
            each.source.name for each in self.auditors.values() if each.source.announces(each.flow.source_spec)
        }
        return {
            name: reader
            for name, reader in self.readers.items()
            if newer.systems.get(name) == self.map.systems[name] and name not in announcing
        }

    def _probes_kept(self, newer: IntegrationMap, readers: Collection[str]) -> dict[tuple[str, str], QueueProbe]:
        """The probes of queues that are the same in a newer map, and live in no system that is opened again."""
        return {
            (each.flow.name, each.queue): each.probe
            for each in self.queues
            if (settings := self.map.queues[each.flow.name, each.queue])
            == newer.queues.get((each.flow.name, each.queue))
            and (not (system := getattr(settings, "system", None)) or system in readers)
        }

    def _shared_reads(self) -> dict[str, OwnerReads]:
        """By flow, what it reads of its owner together with others."""
        sharing = [group for group in self._groups if len(group) > 1]
        reads: dict[str, OwnerReads] = {}
        for group in sharing:
            shared = OwnerReads(
                group[0].source,
                [auditor.flow for auditor in group],
                records_limit=RECORDS_LIMIT // len(sharing),
                bytes_limit=BYTES_LIMIT // len(sharing),
            )
            reads |= dict.fromkeys((auditor.flow.name for auditor in group), shared)
        return reads

    def _forget_reads(self) -> None:
        for reads in self.owner_reads.values():
            reads.forget()

    def start(self) -> None:
        """Start; returns at once."""
        repeats = self.ledger.outbox.recover(datetime.now(UTC))
        if repeats:
            log.warning("%s may be sent twice: the last daemon ended while sending", counted(repeats, "alert"))
        self._close_leftovers()
        for at, group in enumerate(self._groups):
            # Flows that start at one owner come together, so that they share what they read of it.
            after_s = at * min(auditor.flow.every_s for auditor in group) / len(self._groups)
            for auditor in group:
                self._add_flow(auditor, after_s)
        if self.owner_reads:
            self._add("shared reads", FORGET_EVERY_S, self._forget_reads, after_s=FORGET_EVERY_S)
        for queue in self.queues:
            name = f"queue {queue.flow.name}/{queue.queue}"
            broker = broker_of(self.map.queues[queue.flow.name, queue.queue])
            settings = self.map.queues[queue.flow.name, queue.queue]
            hangs_s = HANGS_S + self._timeout_s(settings)
            every_s = max(queue.flow.every_s, 2.0)
            self._add(name, every_s, self._audit_queue(queue), ["queues", broker], longest_s=hangs_s)
        for name, reader in self.readers.items():
            every_s = max(CLOCK_EVERY_S, AIMED_EXCHANGES * reader.allowance.clock_keeps_s)
            hangs_s = HANGS_S + AIMED_EXCHANGES * self.map.systems[name].budget.timeout_s
            self._add(f"clock {name}", every_s, self._read_clock(reader), ["clocks", name], longest_s=hangs_s)
        self._add_messages()
        self._add("archive", ARCHIVE_EVERY_S, self._archive, after_s=ARCHIVE_EVERY_S, longest_s=ARCHIVE_HANGS_S)
        self._add("pulse", PULSE_EVERY_S, self.vitals.pulse, longest_s=HANGS_S)
        self._add("pulse file", PULSE_FILE_EVERY_S, self._pulse_file.touch, longest_s=HANGS_S)
        self._add("check", CHECK_EVERY_S, self._check, longest_s=HANGS_S)
        self._add("requests", ASKED_EVERY_S, self._look_for_requests, longest_s=HANGS_S)
        settle_memory()
        if self._goes_on:
            self.vitals.follows(silent_limits(self.map), lambda: self._watch.trouble.lasts, self._hanging)
        else:
            self.vitals.begins(lambda: self._watch.trouble.lasts, self._hanging)
        self.timetable.start()
        for subscribers in grouped(self._subscribers):
            Listener(subscribers, self.timetable.stopping).start()
        self._buttons.start()
        log.info("auditing %s and %s", counted(len(self.auditors), "flow"), counted(len(self.queues), "queue"))

    def _add_messages(self) -> None:
        """Add the jobs that notify people."""
        messages, stopping = self._messages, self.timetable.stopping
        if self._senders:
            for name in sorted({*self._senders, *self.ledger.outbox.waiting_senders()}):  # one job each
                work = messages.sending(name, self._watch, stopping)
                self._add(f"alerts to {name}", SEND_EVERY_S, work, longest_s=HANGS_S + SEND_FOR_S)
        if self.map.alerts.routing.escalates:
            self._add("escalation", ESCALATE_EVERY_S, messages.escalate)
        self._add("waking", WAKE_EVERY_S, messages.wake)
        if (cycles := self._cycles) is not None:
            self._add("heartbeat", cycles.every_s, cycles.turn, longest_s=HANGS_S)
        if (drill := self.map.alerts.held_drill) is not None:
            closes = self.map.alerts.senders[drill.to].closes
            drills = Drills(drill, self.ledger, self._workspace.folder, self.vitals, self._watch.tell, closes=closes)
            self._add("drill", TURN_EVERY_S, drills.turn, longest_s=REHEARSAL_S + 2 * HANGS_S)
        else:
            self.vitals.drilled("")

    def _timeout_s(self, settings: Any) -> float:
        """The deadline of one call of a queue: its own, or that of the system that it belongs to."""
        own: float | None = getattr(settings, "timeout_s", None)
        return self.map.systems[settings.system].budget.timeout_s if own is None else own

    def _lanes_of(self, needs: Sequence[str]) -> tuple[Lane, ...]:
        """One lane for each thing that a job needs, and one for their combination."""
        together = " + ".join(sorted(set(needs)))
        return tuple(self._lanes.setdefault(name, Lane(name, ALIKE)) for name in dict.fromkeys((*needs, together)))

    def _add(
        self,
        name: str,
        every_s: float,
        work: Callable[[], None],
        needs: Sequence[str] = (),
        *,
        after_s: float = 0.0,
        longest_s: float = math.inf,
    ) -> None:
        lanes = self._lanes_of(needs or [name])
        job = Job(name=name, run=lambda _: self._do(work), every_s=every_s, lanes=lanes, longest_s=longest_s)
        self.timetable.add(job, after_s=after_s)

    def _do(self, work: Callable[[], None]) -> None:
        """Work under the lease; if it is lost, nothing has been written, and the daemon ends."""
        try:
            work()
        except LeaseLostError:
            if not self._fenced:
                self.tenure.lost.set()
        except LedgerError as error:
            self._watch.failed(None, error)

    def _add_flow(self, auditor: Auditor, after_s: float) -> None:
        def run(in_turn: bool) -> None:
            self._do(lambda: audit(in_turn))

        def audit(in_turn: bool) -> None:
            audits, begun_s = auditor.audit if in_turn else auditor.recheck, time.monotonic()
            result = audits(datetime.now(UTC), owner=self.owner_reads.get(auditor.flow.name))
            self._note(result, time.monotonic() - begun_s)
            if in_turn:
                self._failed_audits.note(result.flow, result.error, result.finished_at)
            if in_turn or result.error is None:
                self._await_deadline(job, auditor, result.started_at)
            if result.error is None and auditor.reads_on:
                self._soon(job, auditor)

        flow = auditor.flow
        lanes = self._lanes_of(flow.systems)
        job = self._jobs[flow.name] = Job(name=f"flow {flow.name}", run=run, every_s=flow.every_s, lanes=lanes)
        self.timetable.add(job, after_s=after_s)
        if auditor.source.announces(flow.source_spec):
            self._subscribers.append(Subscriber(auditor=auditor, wake=lambda: self._soon(job, auditor)))

    def _soon(self, job: Job, auditor: Auditor) -> None:
        """Read what is waiting before the flow's next turn, as far as the calls of its systems allow."""
        if all([self._wakes[name].take() for name in (auditor.flow.source_name, auditor.flow.target_name)]):
            self.timetable.also(job, DEADLINES_AT_MOST_EVERY_S)

    def _note(self, result: AuditResult, duration_s: float) -> None:
        """Note that an audit was recorded."""
        if result.in_turn:
            failure = f"{result.error[0]}: {result.error[1].reason}" if result.error is not None else ""
            self.vitals.recorded(result.flow, failure)
        if self._audited is not None:
            self._audited(result, duration_s)

    def _await_deadline(self, job: Job, auditor: Auditor, since: datetime) -> None:
        """Probe the next change right when its window ends, and not only in the flow's next turn.

        Args:
            since: changes due until then have just been tried. One that is still due (unreadable, or constantly
                changing) waits for the next turn.
        """
        at = auditor.next_deadline()
        if at is None or at <= since:
            return
        after_s = (at - datetime.now(UTC)).total_seconds()
        if after_s <= auditor.flow.every_s:
            self.timetable.also(job, max(after_s, DEADLINES_AT_MOST_EVERY_S))

    def _read_clock(self, reader: SystemReader) -> Callable[[], None]:
        def run() -> None:
            reader.aim_clock(self.timetable.stopping.wait)

        return run

    def _audit_queue(self, queue: QueueAuditor) -> Callable[[], None]:
        def run() -> None:
            seen = queue.audit(datetime.now(UTC))
            if isinstance(seen, Exception):
                log.warning("queue %s/%s: %s", queue.flow.name, queue.queue, seen)

        return run

    def _hanging(self) -> list[str]:
        """The jobs that do not end; flows have a limit of their own, see `silent_after_s`."""
        jobs = self.timetable.hanging()
        unrenewed_s = time.monotonic() - self.tenure.renewed_s
        if unrenewed_s > HANGS_S:
            jobs.append(("renewing the lease", unrenewed_s))
        return [f"{name}: runs for {measured(run_s)}" for name, run_s in jobs]

    def _check(self) -> None:
        """Look after the auditor's own jobs and senders: people hear of a job that hangs, `/healthz` shows both."""
        now = datetime.now(UTC)
        self._own_clock.look()
        hanging = self._hanging()
        if hanging and not self._watch.trouble.lasts:  # what waits for a ledger that fails does not hang
            self._job_trouble.failed(f"jobs of the auditor hang, restart it: {', '.join(hanging)}", now)
        else:
            self._job_trouble.worked(now)
        late = [each for each in self.ledger.outbox.undelivered() if each.sender in self._senders]
        lost = [each for each in late if each.fails or (now - each.since_at).total_seconds() > LATE_S]
        undelivered = [f"{each.sender}: {visible(str(each))}" for each in lost]
        self.vitals.delivers([*undelivered, *self._buttons.check(self.ledger)])

    def tell(self, news: News) -> None:
        """Notify people of something about the auditor itself."""
        self._watch.tell(news)

    def _look_for_requests(self) -> None:
        if self.ledger.map_loads.asked():
            self.map_asked.set()
        waiting = self.ledger.rechecks.waiting(datetime.now(UTC))
        for name, auditor in self.auditors.items():
            if auditor.ask(waiting.get(name, ())) and waiting.get(name):
                self._soon(self._jobs[name], auditor)

    def _close_leftovers(self) -> None:
        now = datetime.now(UTC)
        closed = end_leftovers(self.map, self.ledger, self._reporter, now) + close_leftovers(
            self.map, self.ledger, now
        )
        if closed:
            log.info("closed %d breaches and conflicts about things that are no longer in the map", closed)

    def _archive(self) -> None:
        self._close_leftovers()
        self.ledger.rechecks.forget(datetime.now(UTC))
        self._archiving.turn(self.ledger)

    def replaced_by(self, newer: IntegrationMap, stopping: threading.Event) -> Daemon | None:
        """Let what is running finish, and hand over to a daemon of a newer map, which is to be started next.

        Running audits end first. One that has not ended after `FINISH_S` is interrupted and leaves no trace; then
        everything is opened again, as after a restart.

        Args:
            stopping: ends the waiting.

        Returns:
            The successor; None if `stopping` was set or the lease was lost meanwhile: then the caller stops this one.

        Raises:
            RefusedMapError: something of the newer map cannot be opened; this daemon goes on.
            LedgerError: it failed on the way; this daemon is to be stopped.
        """
        try:
            successor = self._successor(newer)
        except Exception as error:
            why = str(error) if isinstance(error, ProbeError | LedgerError) else type(error).__name__
            raise RefusedMapError(f"it cannot be used: {why}") from error
        ended = self._finish(stopping)
        if stopping.is_set() or self.tenure.lost.is_set():
            return None
        if not ended:
            log.warning("interrupting work that has not ended after %s", format_duration(FINISH_S))
            self._fence()
            self._give_back("connections", self._closings())
            self.timetable.stop(CUT_OFF_S)
            self.ledger.close()
            ledger = self._workspace.ledger()
            ledger.database.token = self.tenure.token
            self.ledger, self.readers, self.queues, self.auditors = ledger, {}, [], {}
            successor = self._successor(newer)
        else:
            kept = {id(each) for each in successor.readers.values()} | {id(each.probe) for each in successor.queues}
            self._give_back("connections", self._closings(kept))
        successor._go_on_from(self)
        return successor

    def _successor(self, newer: IntegrationMap) -> Daemon:
        return Daemon(
            newer,
            self._workspace,
            alert_timeout_s=self._alert_timeout_s,
            vitals=self.vitals,
            audited=self._audited,
            before=self,
        )

    def _finish(self, stopping: threading.Event) -> bool:
        """Start no more jobs, and wait for running ones; returns whether all have ended."""
        until_s = time.monotonic() + FINISH_S
        while not self.timetable.stop(FINISH_LOOK_S):
            if stopping.is_set() or self.tenure.lost.is_set() or time.monotonic() > until_s:
                return False
            self.vitals.pulse()
            self._pulse_file.touch()
        return True

    def _fence(self) -> None:
        """Keep what is still running from writing to the ledger."""
        self._fenced = True
        self.ledger.database.token = NO_TOKEN

    def _go_on_from(self, before: Daemon) -> None:
        """Take over what the daemon of an older map remembers, now that nothing of it runs."""
        self._watch, self._own_clock, self._archiving = before._watch, before._own_clock, before._archiving
        self._job_trouble, self._failed_audits = before._job_trouble, before._failed_audits
        if self._cycles is not None and before._cycles is not None:
            self._cycles.begun_s = before._cycles.begun_s
        self._watch.report_to(list(self._senders))
        self._take_ledger()
        for reader in self.readers.values():
            reader.stand_among(self.readers)
        for name, auditor in self.auditors.items():
            earlier = before.auditors.get(name)
            if earlier is not None and earlier.flow == auditor.flow:
                auditor.memory = earlier.memory
        queues = {(each.flow.name, each.queue): each for each in before.queues}
        for queue in self.queues:
            known = queues.get((queue.flow.name, queue.queue))
            if known is not None and known.probe is queue.probe and known.flow == queue.flow:
                queue.memory = known.memory

    def stop(self) -> None:
        """Stop within a few seconds: running audits finish their transaction or leave no trace."""
        if self._stopped:
            return
        self._stopped = True
        ended = self.timetable.stop(END_BY_THEMSELVES_S)
        self._give_back("connections", self._closings())
        if not ended and not self.timetable.stop(CUT_OFF_S):
            log.warning("abandoned work that hangs in a driver; nothing of it is recorded")
        self._give_back("ledgers", [self.tenure.end, self.ledger.close])

    def _closings(self, kept: Collection[int] = ()) -> list[Callable[[], object]]:
        """What closes the connections, in parallel: one that hangs or fails must not leave the others open.

        Args:
            kept: the ids of readers and probes that stay open.
        """
        of_systems = [each.close for each in self.readers.values() if id(each) not in kept]
        of_queues = [each.close for each in self.queues if id(each.probe) not in kept]
        of_senders = [each.close for each in (*self._senders.values(), self._cycles) if each is not None]
        return [*of_systems, *of_queues, *of_senders, *self._buttons.closings]

    def _give_back(self, what: str, closings: Sequence[Callable[[], object]]) -> None:
        failed = run_all(closings, CLOSE_S)
        if failed:
            kinds = ", ".join(sorted({type(each).__name__ for each in failed}))
            log.warning("left %d of %d %s open: %s", len(failed), len(closings), what, kinds)


def broker_of(settings: Any) -> str:
    """Where a queue lives, as far as its settings show: queues of one broker hang together."""
    if system := getattr(settings, "system", None):
        return str(system)
    at: Any = getattr(settings, "url", None) or getattr(settings, "servers", None)
    if isinstance(at, SecretStr):
        at = at.get_secret_value()
    return f"{settings.kind} {at}" if at else str(settings.kind)


def settle_memory() -> None:
    """Exclude the objects built so far from garbage collection.

    An audit makes many short-lived objects; without this the collector walks every imported library again and again,
    which costs a third of the time (benchmarks/tick.py).
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
