"""How one system's rows become keys and canonical values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from checks.computed import Columns
from checks.delete_flags import Flag
from checks.fields import FieldRule
from checks.values import Amount, Parser, UnreadableError
from probes.contract import MISSING, VALUES, Key, Row
from probes.exact_json import Undecodable

UNREADABLE = (ValueError, ArithmeticError, RecursionError, TypeError)
"""Everything that a parser or a comparison may raise on an outlandish value: the record is then unverifiable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How one system's rows of a data type become keys and copies.

    Attributes:
        currencies: by the position of an amount of money, the position of the field that holds its currency.
        flag: tells whether a record is deleted, the last value of each row; None if the system has no such field.
        columns: how the fields follow from a row of which some are computed; None where the row holds each of them.
    """

    system: str
    parse_key: Parser
    parse_changed_at: Parser
    parsers: tuple[Parser, ...]
    currencies: Mapping[int, int] = field(default_factory=dict)
    flag: Flag | None = None
    columns: Columns | None = None


def read_key(parse: Parser, raw: Any) -> Key | None:
    """A row's key in its canonical form; None if the row has none, or an unreadable one."""
    if raw is None or raw is MISSING or raw == "":
        return None
    try:
        key: Key = parse(raw)
    except UNREADABLE:
        return None
    return key


def beside_currencies(values: Sequence[Any], parsers: Sequence[Parser], currencies: Mapping[int, int]) -> list[Any]:
    """Raw values of a row, each amount of money with the currency from another field of its record."""
    paired = list(values)
    for at, currency_at in currencies.items():
        if values[at] is None or values[at] is MISSING:
            continue
        code = values[currency_at]
        try:
            code = None if code is None or code is MISSING else parsers[currency_at](code)
        except UNREADABLE:
            code = Undecodable("an amount of money whose currency cannot be read")
        paired[at] = Amount(values[at], code)
    return paired


def raw_values(side: Side, row: Row) -> Sequence[Any]:
    """The raw value of each compared field, computed ones included."""
    return row[VALUES] if side.columns is None else side.columns.values(row[VALUES])


def held_values(side: Side, row: Row) -> Sequence[Any]:
    """The same, amounts of money with their currencies."""
    raw = row[VALUES] if side.columns is None else side.columns.values(row[VALUES])
    return beside_currencies(raw, side.parsers, side.currencies) if side.currencies else raw


def read_field(parse: Parser, rule: FieldRule, raw: Any) -> Any:
    """One field's raw value in its canonical form, NULL and missing included.

    Raises:
        UnreadableError: the value is not what its field declares.
    """
    if raw is None:
        return None
    if raw is MISSING:
        return None if "missing" in rule.null_is else MISSING
    if isinstance(raw, Undecodable):
        raise UnreadableError(raw.reason)
    try:
        return parse(raw)
    except UnreadableError:
        raise
    except UNREADABLE as error:
        raise UnreadableError(f"cannot be read ({type(error).__name__})") from None
