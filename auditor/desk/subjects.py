"""What incidents can be about. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from auditor.map.integration_map import IntegrationMap
from checks.breaches import Breach
from checks.root_causes import RootCause
from checks.routes import SEVERITIES


def known_values(integration_map: IntegrationMap) -> dict[str, list[str]]:
    """By subject (`checks.routes.SUBJECTS`), the values that the map and the auditor know."""
    return {
        "flow": list(integration_map.flows),
        "system": list(integration_map.systems),
        "data_type": list(integration_map.data_types),
        "team": list(dict.fromkeys(each.team for each in integration_map.flows.values() if each.team)),
        "cause": known_causes(),
        "severity": list(SEVERITIES),
    }


def known_causes() -> list[str]:
    """What an incident can go back to, by name."""
    return sorted({*map(str, RootCause), *map(str, Breach)})


def unmatched(matchers: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """The patterns that match no known value, each after its subject."""
    for subject, patterns in matchers.items():
        for pattern in patterns:
            if not any(fnmatchcase(value, pattern) for value in known[subject]):
                yield subject, pattern
