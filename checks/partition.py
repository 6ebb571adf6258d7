"""More than two copies: which systems hold the same value, and which stand alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Group = tuple[str, ...]


def partition(marks: Mapping[str, bytes]) -> tuple[Group, ...]:
    """Put systems that show the same mark together.

    Args:
        marks: by system, the digest of its value or record; empty for an absent one.

    Returns:
        The groups, largest first, each in the order given.
    """
    groups: dict[bytes, list[str]] = {}
    for system, mark in marks.items():
        groups.setdefault(mark, []).append(system)
    return tuple(sorted((tuple(group) for group in groups.values()), key=len, reverse=True))


def minority(groups: Sequence[Group]) -> Group:
    """The systems outside the largest group; none if two groups are largest.

    A majority is no proof: a wrong value can have many copies, too. It shows where to look first.
    """
    if len(groups) < 2 or len(groups[0]) == len(groups[1]):
        return ()
    return tuple(system for group in groups[1:] for system in group)


def tell(field: str, groups: Sequence[Group]) -> str:
    """Describe one field's groups."""
    few = minority(groups)
    if few:
        return f"{field}: {' and '.join(few)} against {' and '.join(groups[0])}"
    return f"{field}: {' against '.join(' and '.join(group) for group in groups)}"
