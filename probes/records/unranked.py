"""What a record probe answers about ranks if its system cannot compute them (`probes.ranking`)."""

from __future__ import annotations

from typing import Any

from probes.contract import ProbeError, ReadSpec, Reason


class Unranked:
    """A system that does not list keys by rank: its sweeps go by key, and the sample ranks what they list."""

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        return False

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        return None

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[Any, int]]:
        raise ProbeError(Reason.QUERY, "this system cannot list keys by rank")
