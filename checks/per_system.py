"""Words of a field that hold for every system, or for some of them: `casefold: true`, or `casefold: [marketing]`.

What one system does not keep (case, padding, the difference between NULL and empty) cannot be asked of its copy, so
such a word holds for every comparison that the system is part of, for both copies alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

STRIPS = ("none", "trailing", "both")
"""From nothing to everything."""


def told(message: str) -> WrapValidator:
    """One message for a word that may be written in two ways, instead of one for each way that it is not."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


Systems = Annotated[
    bool | tuple[str, ...], told("write true or false, or the systems for which it holds: [marketing]")
]
"""Everywhere or nowhere, or the systems for which it holds."""

Strip = Annotated[
    Literal["none", "trailing", "both"] | dict[str, Literal["none", "trailing", "both"]],
    told("write none, trailing or both, or one of them per system: {billing: trailing}"),
]

Normalize = Annotated[
    Literal["nfc", "none"] | dict[str, Literal["nfc", "none"]],
    told("write nfc or none, or one of them per system: {billing: none}"),
]

Nulls = frozenset[Literal["missing", "empty"]]

NullIs = Annotated[
    Nulls | dict[str, Nulls],
    told("write a list of missing and empty, or such a list per system: {hubspot: [empty]}"),
]


def holds(word: bool | Collection[str], systems: Collection[str]) -> bool:
    """Whether it holds between these systems."""
    return word if isinstance(word, bool) else any(system in word for system in systems)


def widest(word: str | Mapping[str, str], systems: Collection[str]) -> str:
    """What is stripped from both copies: the most that one of the systems needs."""
    if isinstance(word, str):
        return word
    return max((word.get(system, "none") for system in systems), key=STRIPS.index)


def composed(word: str | Mapping[str, str], systems: Collection[str]) -> str:
    """Whether text is composed before it is compared: unless it is kept as it is in every one of the systems."""
    if isinstance(word, str):
        return word
    return "none" if all(word.get(system) == "none" for system in systems) else "nfc"


def joined(word: Nulls | Mapping[str, Nulls], systems: Collection[str]) -> Nulls:
    """What means NULL in one of the systems means it between them."""
    if not isinstance(word, Mapping):
        return word
    empty: Nulls = frozenset()
    return empty.union(*(word.get(system, empty) for system in systems))


RESOLVED: dict[str, Callable[[Any, Collection[str]], Any]] = {
    "strip": widest,
    "casefold": holds,
    "strip_accents": holds,
    "newlines": holds,
    "normalize": composed,
    "null_is": joined,
}
"""By word, what it comes to between some systems."""


def named(word: Any) -> tuple[str, ...]:
    """The systems that a word names."""
    return () if isinstance(word, bool | str | frozenset) else tuple(word)
