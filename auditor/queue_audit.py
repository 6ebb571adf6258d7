"""One audit of one queue: depth, age and letters, recorded and held against what the map allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor import incidents
from auditor.integration_map import Flow
from auditor.ledger import Ledger
from checks.backlog import Allowance, age_s, over_allowance
from checks.fields import FieldRule, parser_for
from checks.queue_health import Flowing, QueueState, flowing
from checks.values import UnreadableError
from probes.contract import Letter, ProbeError, QueueProbe, QueueReading

PEEK = 500

STALLED_READINGS = 10
"""A queue from which nothing left for so many readings is stalled. Source: the window of LinkedIn's Burrow."""

NOTHING_TOLD = QueueReading(depth=None, oldest_at=None)


class QueueAuditor:
    """Audits one queue of a flow again and again.

    Args:
        settings: of the queue's plug-in; its `role` says what the messages in it are.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        queue: str,
        settings: Any,
        probe: QueueProbe,
        ledger: Ledger,
        senders: Sequence[str] = (),
    ) -> None:
        self.flow = flow
        self.queue = queue
        self._role = settings.role
        self._probe = probe
        self._ledger = ledger
        self._senders = tuple(senders)
        self._states: deque[QueueState] = deque(maxlen=STALLED_READINGS)
        self._parse_key = parser_for(FieldRule(type=flow.data_type.key_type), flow.source_name, None)

    def audit(self, now: datetime) -> QueueReading | ProbeError:
        """Read the queue and record what was seen, also a failure."""
        try:
            reading: QueueReading | ProbeError = self._probe.read(PEEK)
        except ProbeError as error:
            reading = error
        failed = isinstance(reading, ProbeError)
        told = NOTHING_TOLD if isinstance(reading, ProbeError) else reading
        depth, oldest_at = told.depth, told.oldest_at
        age = age_s(oldest_at, now)
        if not failed:
            state = QueueState(read_at=now, depth=depth, arrived=told.arrived, taken=told.taken, oldest_at=oldest_at)
            self._states.append(state)
        with self._ledger.write() as connection:
            rev = self._ledger.next_revision(connection)
            self._ledger.save_backlog(
                connection,
                rev,
                {
                    "flow": self.flow.name,
                    "queue": self.queue,
                    "role": self._role,
                    "read_at": now,
                    "depth": depth,
                    "oldest_at": oldest_at,
                    "oldest_age_s": age,
                    "age_of": told.age_of,
                    "arrived": told.arrived,
                    "taken": told.taken,
                    "retention_s": told.retention_s,
                    "notes": "; ".join(told.notes),
                    "reason": reading.reason.value if isinstance(reading, ProbeError) else None,
                    "message": reading.message if isinstance(reading, ProbeError) else None,
                },
            )
            if isinstance(reading, QueueReading) and self._role == "dead":
                letters = [self._with_canonical_key(letter) for letter in reading.letters]
                self._ledger.save_letters(
                    connection,
                    rev,
                    self.flow.name,
                    self.queue,
                    letters,
                    now,
                    complete=not reading.truncated,
                )
            sla = self.flow.settings.sla
            allowed = Allowance(
                dead_letters=sla.dead_letters,
                oldest_letter_s=sla.oldest_letter_s,
                backlog_age_s=sla.backlog_age_s,
            )
            over = None if failed else over_allowance(self._role, depth, age, allowed)
            breach = "dead_letters" if self._role == "dead" else "backlog"
            evidence = incidents.Evidence(
                breach=breach,
                fingerprint=f"flow/{self.flow.name}/{breach}/{self.queue}",
                count=over or 0,
                threshold=1,
                clean_needed=self.flow.settings.alert.clean_audits,
                known=over is not None,
                flow=self.flow.name,
            )
            flowing_now = Flowing.UNKNOWN if failed or self._role == "dead" else flowing(list(self._states))
            stalled = incidents.Evidence(
                breach="stalled",
                fingerprint=f"flow/{self.flow.name}/stalled/{self.queue}",
                count=depth or 0 if flowing_now is Flowing.STALLED else 0,
                threshold=1,
                clean_needed=self.flow.settings.alert.clean_audits,
                known=flowing_now is not Flowing.UNKNOWN and len(self._states) >= STALLED_READINGS,
                flow=self.flow.name,
            )
            incidents.move(
                self._ledger,
                connection,
                rev,
                [evidence, stalled],
                flow=self.flow,
                senders=self._senders,
                now=now,
            )
        return reading

    def _with_canonical_key(self, letter: Letter) -> Letter:
        if letter.key is None:
            return letter
        try:
            return replace(letter, key=self._parse_key(letter.key))
        except UnreadableError:
            return replace(letter, key=None)

    def close(self) -> None:
        """Close the queue's probe."""
        self._probe.close()
