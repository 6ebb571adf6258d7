"""Impact: who is reading a wrong value now, and which divergence therefore matters most. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.map.integration_map import IntegrationMap
from auditor.map.settings import Consumer
from checks.cause import Cause
from checks.conflicts import Winner

ROLE_WEIGHT = {"decision-system": 8, "automation": 4, "team": 2, "report": 1}
"""A consumer that decides by itself outweighs all that only forward or display the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Who reads the copies of a record that differs.

    Attributes:
        misled: consumers of a copy that is wrong, or may be wrong if it is undecided which copy is; gravest first.
        right: consumers of a copy that counts.
        certain: whether it is known which copy is wrong.
    """

    misled: tuple[Consumer, ...] = ()
    right: tuple[Consumer, ...] = ()
    certain: bool = True

    @property
    def weight(self) -> int:
        """How much the difference matters; 0 if no consumer is named."""
        return sum(ROLE_WEIGHT[each.role] for each in self.misled)

    def __str__(self) -> str:
        return ", ".join(told(each) for each in self.misled)


def told(consumer: Consumer) -> str:
    """A consumer's display text."""
    return f"{consumer.name} ({consumer.role.replace('-', ' ')})"


def impact_of(integration_map: IntegrationMap, flow: str, cause: str, winner: str = "") -> Impact:
    """Who reads a wrong value when a record of this flow differs.

    Args:
        winner: whose copy counts, see `checks.conflicts.Winner`; "" if no policy was applied.
    """
    settings = integration_map.flows[flow]
    consumers = integration_map.data_types[settings.data_type].consumers
    if cause == Cause.INVALID:
        return Impact(misled=_gravest_first(consumers))
    source, target = ([each for each in consumers if each.reads == name] for name in (settings.from_, settings.to))
    if winner in {Winner.NOBODY, Winner.MERGED}:
        return Impact(misled=_gravest_first([*source, *target]), certain=False)
    wrong, right = (source, target) if winner == Winner.TARGET else (target, source)
    return Impact(misled=_gravest_first(wrong), right=_gravest_first(right))


def _gravest_first(consumers: Iterable[Consumer]) -> tuple[Consumer, ...]:
    return tuple(sorted(consumers, key=lambda each: (-ROLE_WEIGHT[each.role], each.name)))
