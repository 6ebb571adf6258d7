"""One audit of one queue: depth, age and letters, recorded and held against what the map allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor import incidents
from auditor.integration_map import Flow
from auditor.ledger import Ledger
from checks.backlog import Allowance, age_s, over_allowance
from checks.fields import FieldRule, parser_for
from checks.values import UnreadableError
from probes.contract import Letter, ProbeError, QueueProbe, QueueReading

PEEK = 500


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
        self._parse_key = parser_for(FieldRule(type=flow.data_type.key_type), flow.source_name, None)

    def audit(self, now: datetime) -> QueueReading | ProbeError:
        """Read the queue and record what was seen, also a failure."""
        try:
            reading: QueueReading | ProbeError = self._probe.read(PEEK)
        except ProbeError as error:
            reading = error
        failed = isinstance(reading, ProbeError)
        depth = None if isinstance(reading, ProbeError) else reading.depth
        oldest_at = None if isinstance(reading, ProbeError) else reading.oldest_at
        age = age_s(oldest_at, now)
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
            incidents.move(
                self._ledger,
                connection,
                rev,
                [evidence],
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
