"""Delete flags: whether a record that a system keeps is marked as deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from checks.fields import FieldRule, parser_for
from checks.unreadable import UnreadableError, describe
from probes.contract import MISSING, Row
from probes.exact_json import Undecodable
from probes.settings import NOT_NULL, DeleteFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A field that marks a record as deleted.

    Attributes:
        field: its name in the system.
        is_set: whether a raw value of it means deleted; raises UnreadableError if that is unclear.
    """

    field: str
    is_set: Callable[[Any], bool]


def flag_of(declared: DeleteFlag | None, system: str) -> Flag | None:
    """The flag that the map declares for a system."""
    if declared is None:
        return None
    boolean = parser_for(FieldRule(type="boolean"), system, None)
    by_text = {str(each) for each in declared.is_}

    def is_set(raw: Any) -> bool:
        if raw is MISSING:
            if declared.optional:
                return False
            raise UnreadableError("missing; set optional: true if records without it are not deleted")
        if raw is None:
            return False
        if isinstance(raw, Undecodable):
            raise UnreadableError(raw.reason)
        if declared.is_ == (NOT_NULL,):
            if raw == "":
                raise UnreadableError("empty text")
            return True
        if isinstance(declared.is_[0], bool):
            return bool(boolean(raw)) is declared.is_[0]
        if isinstance(raw, Decimal) and raw.is_finite() and raw == raw.to_integral_value():
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise UnreadableError(f"{describe(raw)} where a text or a whole number is declared")
        return str(raw).strip() in by_text

    return Flag(field=declared.field, is_set=is_set)


def parted(flag: Flag, rows: Iterable[Row]) -> tuple[list[Row], list[Row], list[tuple[Row, str]]]:
    """Sort rows by their last value, the flag, which they lose.

    Returns:
        The rows of records that exist; those marked as deleted; those whose flag cannot be read, and why.
    """
    live: list[Row] = []
    marked: list[Row] = []
    doubtful: list[tuple[Row, str]] = []
    for row in rows:
        try:
            (marked if flag.is_set(row[-1]) else live).append(row[:-1])
        except UnreadableError as error:
            doubtful.append((row[:-1], str(error)))
        except (ValueError, ArithmeticError, RecursionError, TypeError) as error:
            doubtful.append((row[:-1], f"cannot be read ({type(error).__name__})"))
    return live, marked, doubtful
