"""The daemon: every flow and queue audited in its own rhythm, alerts sent, old rows archived."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from auditor.alerts.outbox import deliver_next, open_senders
from auditor.archive import archive_settled
from auditor.audit import Auditor
from auditor.integration_map import IntegrationMap
from auditor.queue_audit import QueueAuditor
from auditor.reading import SystemReader
from auditor.workspace import Workspace
from probes import registry

CLOCK_EVERY_S = 20.0
DEADLINES_AT_MOST_EVERY_S = 0.2
"""Windows that run out within this time of each other are probed together."""

SEND_EVERY_S = 1.0
"""Slack takes about one message a second and channel."""

ARCHIVE_EVERY_S = 900.0
STOP_WITHIN_S = 10.0

log = logging.getLogger(__name__)


class Daemon:
    """Runs a map until it is stopped.

    Args:
        integration_map: valid.
        workspace: where the state is kept.
    """

    def __init__(self, integration_map: IntegrationMap, workspace: Workspace) -> None:
        self.map = integration_map
        self._workspace = workspace
        self._lock = workspace.lock()
        self.ledger = workspace.ledger()
        self._senders = open_senders(integration_map.alerts)
        digest_key = workspace.digest_key()
        self.readers = open_readers(integration_map)
        for name, clock in self.ledger.clocks().items():
            if name in self.readers:
                self.readers[name].clock = clock
        self.auditors = {
            name: Auditor(
                flow=integration_map.flow(name),
                source=self.readers[settings.from_],
                target=self.readers[settings.to],
                ledger=self.ledger,
                digest_key=digest_key,
                senders=list(self._senders),
                others=self.readers,
            )
            for name, settings in integration_map.flows.items()
        }
        self.queues = [
            QueueAuditor(
                flow=integration_map.flow(flow),
                queue=queue,
                settings=settings,
                probe=registry.open_queue_probe(settings, integration_map.system_of(settings)),
                ledger=self.ledger,
                senders=list(self._senders),
            )
            for (flow, queue), settings in integration_map.queues.items()
        ]
        self._stopping = threading.Event()
        # A thread for each flow and queue: one that waits for a hung system keeps nobody else waiting.
        threads = 2 * len(self.auditors) + len(self.queues) + len(self.readers) + 2
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )

    def start(self) -> None:
        """Begin; returns at once."""
        repeats = self.ledger.recover_alerts(datetime.now(UTC))
        if repeats:
            log.warning("%d alerts were being sent when the last daemon ended; they may be repeated", repeats)
        begins = datetime.now(UTC)
        for at, (name, auditor) in enumerate(self.auditors.items()):
            spread_s = at * auditor.flow.every_s / max(1, len(self.auditors))
            self._every(f"flow {name}", auditor.flow.every_s, self._audit(auditor), begins, spread_s)
        for queue in self.queues:
            name = f"queue {queue.flow.name}/{queue.queue}"
            self._every(name, max(queue.flow.every_s, 2.0), self._audit_queue(queue), begins, 0)
        for name, reader in self.readers.items():
            self._every(f"clock {name}", CLOCK_EVERY_S, self._read_clock(reader), begins, 0)
        if self._senders:
            self._every("alerts", SEND_EVERY_S, self._send, begins, 0)
        self._every("archive", ARCHIVE_EVERY_S, self._archive, begins, ARCHIVE_EVERY_S)
        settle_memory()
        self._scheduler.start()
        log.info("auditing %d flows and %d queues", len(self.auditors), len(self.queues))

    def _every(self, name: str, seconds: float, work: Callable[[], None], begins: datetime, spread_s: float) -> None:
        self._scheduler.add_job(
            self._guarded(name, work),
            "interval",
            seconds=seconds,
            next_run_time=begins + timedelta(seconds=spread_s),
            id=name,
            name=name,
        )

    def _guarded(self, name: str, work: Callable[[], None]) -> Callable[[], None]:
        """A job that fails is logged and tried again in its next turn; the others go on."""

        def run() -> None:
            if self._stopping.is_set():
                return
            try:
                work()
            except Exception:
                if not self._stopping.is_set():
                    log.exception("%s failed; it is tried again in its next turn", name)

        return run

    def _audit(self, auditor: Auditor) -> Callable[[], None]:
        def run() -> None:
            result = auditor.audit(datetime.now(UTC))
            if result.error is not None:
                log.warning("flow %s: %s: %s", result.flow, result.error[0], result.error[1])
            self._await_deadline(auditor, result.started_at)

        return run

    def _await_deadline(self, auditor: Auditor, since: datetime) -> None:
        """Probe the next change whose window runs out just then, and not only in the flow's next turn.

        Args:
            since: what was due then has just been tried. Where it still is (it cannot be read, or moves again
                and again) it waits for the next turn.
        """
        at = auditor.next_deadline()
        now = datetime.now(UTC)
        if at is None or at <= since or (at - now).total_seconds() > auditor.flow.every_s:
            return

        def run() -> None:
            result = auditor.recheck(datetime.now(UTC))
            if result.error is None:
                self._await_deadline(auditor, result.started_at)

        name = f"deadline {auditor.flow.name}"
        self._scheduler.add_job(
            self._guarded(name, run),
            "date",
            run_date=max(at, now + timedelta(seconds=DEADLINES_AT_MOST_EVERY_S)),
            id=name,
            name=name,
            replace_existing=True,
        )

    def _read_clock(self, reader: SystemReader) -> Callable[[], None]:
        def run() -> None:
            reader.aim_clock(self._stopping.wait)

        return run

    def _audit_queue(self, queue: QueueAuditor) -> Callable[[], None]:
        def run() -> None:
            seen = queue.audit(datetime.now(UTC))
            if isinstance(seen, Exception):
                log.warning("queue %s/%s: %s", queue.flow.name, queue.queue, seen)

        return run

    def _send(self) -> None:
        while not self._stopping.is_set() and deliver_next(self.ledger, self._senders, datetime.now(UTC)):
            time.sleep(SEND_EVERY_S)

    def _archive(self) -> None:
        archive_settled(self.ledger, self._workspace.archive, datetime.now(UTC))

    def stop(self) -> None:
        """End within a few seconds: audits under way finish their transaction or leave no trace."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        stopped = threading.Thread(target=self._scheduler.shutdown, daemon=True)
        stopped.start()
        stopped.join(STOP_WITHIN_S / 2)
        for reader in self.readers.values():
            reader.close()
        for queue in self.queues:
            queue.close()
        stopped.join(STOP_WITHIN_S / 2)
        self.ledger.close()
        self._lock.close()


def settle_memory() -> None:
    """Tell the garbage collector that what has been built stays.

    An audit makes many short-lived objects; without this the collector walks every imported library again
    and again, which costs a third of the time (benchmarks/tick.py).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def open_readers(integration_map: IntegrationMap) -> dict[str, SystemReader]:
    """A reader for every system of the map; nothing is connected before the first read."""
    return {
        name: SystemReader(name, settings, registry.open_record_probe(settings))
        for name, settings in integration_map.systems.items()
    }
