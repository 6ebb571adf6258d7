"""A result's rows in types that every reader supports, and their length when printed. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

EXOTIC = ("BIT", "INTERVAL", "TIME WITH TIME ZONE", "TIMESTAMP_NS", "VARIANT", "GEOMETRY", "BIGNUM", "UNION", "ENUM")
"""Engine types that others lack or treat differently: their values are shown in the engine's own text form."""

_QUICK_BYTES = 1024**2
"""Shorter rows are measured after writing; longer ones are measured while they are written, up to the limit."""

_MARGIN = 4
"""The columns by which a row of the printed document is indented."""

_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def exotic(type_: object) -> bool:
    """Whether other tools treat a type of the engine differently."""
    return str(type_).upper().startswith(EXOTIC)


def quoted(name: str) -> str:
    """Any name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def distinct(names: Sequence[str]) -> list[str]:
    """The names of a result's columns, with the second `id` as `id_1`: a join of two views has several.

    To the engine, names that differ only in case are the same.
    """
    taken = {name.casefold() for name in names}
    met: set[str] = set()
    names_so_far = []
    for name in names:
        own, number = name, 0
        while own.casefold() in met or (number and own.casefold() in taken):
            number += 1
            own = f"{name}_{number}"
        met.add(own.casefold())
        names_so_far.append(own)
    return names_so_far


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, with text for values that Python and pandas do not support."""
    arrays = [_plain(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _plain(column: pa.Array) -> pa.Array:
    type_ = column.type
    if isinstance(type_, pa.ExtensionType):
        column, type_ = column.storage, column.type.storage_type
    if pa.types.is_dictionary(type_):
        column = column.dictionary_decode()
        type_ = column.type
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        if _in_calendar(column):
            return column
        return pa.array([_beyond(number, type_) for number in _numbers(column)], pa.string())
    if _flat(type_):
        return column
    try:
        column.to_pylist()
    except (OverflowError, ValueError, ImportError):
        return pa.array([f"a value of type {type_} beyond the calendar"] * len(column), pa.string())
    if pa.types.is_interval(type_) or pa.types.is_union(type_):
        return pa.array([None if each is None else str(each) for each in column.to_pylist()], pa.string())
    return column


def _flat(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_boolean(type_)
        or pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_string(type_)
        or pa.types.is_binary(type_)
        or pa.types.is_null(type_)
        or pa.types.is_time(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
    )


def _in_calendar(column: pa.Array) -> bool:
    numbers = [number for number in _numbers(column) if number is not None]
    if not numbers:
        return True
    if pa.types.is_date(column.type):
        first, last = (_FIRST - _EPOCH).days, (_LAST - _EPOCH).days
    else:
        unit = _UNITS[column.type.unit]
        if unit == 10**9:
            return False  # Python has no instants of this unit
        first, last = (int((end - _EPOCH) / timedelta(seconds=1)) * unit for end in (_FIRST, _LAST))
    return first <= min(numbers) and max(numbers) <= last


def _numbers(column: pa.Array) -> list[int | None]:
    """Days or units since 1970."""
    numbers: list[int | None] = column.view(pa.int32() if pa.types.is_date32(column.type) else pa.int64()).to_pylist()
    return numbers


def _beyond(number: int | None, type_: pa.DataType) -> str | None:
    if number is None:
        return None
    dated = pa.types.is_date(type_)
    if abs(number) >= (2**31 if dated else 2**63) - 1:
        return "infinity" if number > 0 else "-infinity"
    seconds, rest = (number * 86_400, 0) if dated else divmod(number, _UNITS[type_.unit])
    if not (_FIRST - _EPOCH).total_seconds() <= seconds <= (_LAST - _EPOCH).total_seconds():
        return f"{number} {'days' if dated else type_.unit} since 1970-01-01"
    at = _EPOCH + timedelta(seconds=seconds)
    if dated:
        return f"{at:%Y-%m-%d}"
    fraction = f".{rest:0{len(str(_UNITS[type_.unit])) - 1}}" if rest else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction}{'+00' if type_.tz else ''}"


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """A result's rows as Python values; instants are read without pandas, which pyarrow would load for them."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    type_ = column.type
    if not pa.types.is_timestamp(type_) or type_.unit == "ns":
        return list(column.to_pylist())
    begin = _EPOCH if type_.tz else _EPOCH.replace(tzinfo=None)
    to_us = 10**6 // _UNITS[type_.unit]
    numbers = (number for chunk in column.chunks for number in _numbers(chunk))
    return [None if number is None else begin + timedelta(microseconds=number * to_us) for number in numbers]


def row_lengths(batch: pa.RecordBatch, most: int) -> Iterator[int]:
    """An upper bound of each row's length in the printed document; counting stops at a row longer than `most`."""
    names = [json.dumps(name) for name in batch.schema.names]
    around = sum(len(name) + _MARGIN + 6 for name in names) + 2 * _MARGIN
    measure: Callable[[Any], int] = _written
    if batch.nbytes > _QUICK_BYTES or not all(_flat(type_) for type_ in batch.schema.types):

        def measure(value: Any) -> int:
            return _counted(value, most)

    for number in range(batch.num_rows):
        length = around
        for column in batch.columns:
            length += measure(column[number].as_py())
            if length > most:
                break
        yield length


def _written(value: Any) -> int:
    return len(json.dumps(value, default=str))


def _counted(value: Any, most: int) -> int:
    if isinstance(value, str | bytes) and len(value) > most:
        return len(value)
    length = 0
    for part in json.JSONEncoder(indent=2, default=str).iterencode(value):
        length += len(part) + (_MARGIN + 2) * part.count("\n")
        if length > most:
            break
    return length
