"""Field settings that apply to every system, or to some of them: `casefold: true`, or `casefold: [marketing]`.

A detail that one system does not keep (case, padding, the difference between NULL and empty) cannot be expected of
its copy, so such a setting applies to both copies in every comparison that the system is part of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

STRIPS = ("none", "trailing", "both")
"""From nothing to everything."""


def told(message: str) -> WrapValidator:
    """One message for a setting with two spellings, instead of one for each spelling it is not."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


Systems = Annotated[
    bool | tuple[str, ...], told("write true or false, or the systems for which it holds: [marketing]")
]
"""Everywhere or nowhere, or the systems to which it applies."""

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
    """Whether the setting applies between these systems."""
    return word if isinstance(word, bool) else any(system in word for system in systems)


def widest(word: str | Mapping[str, str], systems: Collection[str]) -> str:
    """What to strip from both copies: the most that any of the systems needs."""
    if isinstance(word, str):
        return word
    return max((word.get(system, "none") for system in systems), key=STRIPS.index)


def composed(word: str | Mapping[str, str], systems: Collection[str]) -> str:
    """Whether to compose text before comparing it: unless all of the systems keep it as it is."""
    if isinstance(word, str):
        return word
    return "none" if all(word.get(system) == "none" for system in systems) else "nfc"


def joined(word: Nulls | Mapping[str, Nulls], systems: Collection[str]) -> Nulls:
    """What means NULL between the systems: whatever means NULL in one of them."""
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
"""By setting, the function that resolves it between systems."""


def named(word: Any) -> tuple[str, ...]:
    """The systems that a setting names."""
    return () if isinstance(word, bool | str | frozenset) else tuple(word)
