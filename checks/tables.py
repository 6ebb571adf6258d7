"""Tables with an entry for each member of an enumeration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TypeVar

MemberT = TypeVar("MemberT", bound=Enum)
ValueT = TypeVar("ValueT")


def complete(table: Mapping[MemberT, ValueT], *, but: Collection[MemberT] = ()) -> Mapping[MemberT, ValueT]:
    """Return the table after checking that it has an entry for every member.

    A gap is found when the module is loaded, not by an audit that meets the rare case.

    Args:
        but: members that are never looked up.

    Raises:
        ValueError: an entry is missing, or `but` rules out one that exists.
    """
    kind = type(next(iter(table)))
    wrong = {*kind} - {*but} ^ table.keys()
    if wrong:
        raise ValueError(
            f"a table of {kind.__name__} is incomplete: {', '.join(sorted(each.name for each in wrong))}"
        )
    return table
