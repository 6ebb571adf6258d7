"""What a SOQL statement selects from the store.

Source: SOQL and SOSL Reference (v66.0): "Comparison Operators" (text without case but for unique case-sensitive
fields; INCLUDES and EXCLUDES with `;` for all of several), "ORDER BY" (nulls first unless told), "OFFSET" (at most
2,000), "Date Formats and Date Literals in WHERE", "FIELDS()" (ALL and CUSTOM want LIMIT 200 or less); Object
Reference, "Field Types".

Where the documents are silent: without ORDER BY the order of rows is the hash of their ids, so that nobody relies
on one. `!=`, NOT IN and EXCLUDES hold for null, as null is a value in SOQL. Ids are ordered and compared by their
bytes. Weeks begin on Sunday (locale en_US), the user's time zone is UTC.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zlib import crc32

from tests.standins.salesforce import ids
from tests.standins.salesforce.errors import ApiError, unsupported
from tests.standins.salesforce.schema import NUMBERS, TEXT, Field, SObject
from tests.standins.salesforce.soql import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    DateRange,
    Not,
    Order,
    Pattern,
    Statement,
    Value,
    error,
)
from tests.standins.salesforce.store import Store, Values

MOST_SKIPPED = 2_000
_ORDERING: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Path = tuple[Field | None, Field]  # the reference to follow first, and the field


class Query:
    """A statement bound to the objects of an org.

    Args:
        store: the records.
        statement: what is asked.
        deleted: whether records in the recycle bin are seen (queryAll).
        as_of: the state to answer from, for an index that lags; None for now.

    Raises:
        ApiError: as the vendor refuses it.
    """

    def __init__(self, store: Store, statement: Statement, *, deleted: bool, as_of: datetime | None = None) -> None:
        self._store = store
        self._statement = statement
        self._deleted = deleted
        self._as_of = as_of
        of = store.sobject(statement.from_object)
        if of is None:
            raise error(
                statement.text,
                statement.from_at,
                f"sObject type '{statement.from_object}' is not supported. If you are attempting to use a custom "
                "object, be sure to append the '__c' after the entity name. Please reference your WSDL or the "
                "describe call for the appropriate names.",
                "INVALID_TYPE",
            )
        self.sobject: SObject = of
        if statement.offset > MOST_SKIPPED:
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MOST_SKIPPED}")
        self.paths = list(self._selected())
        self._holds = self._bound(statement.where) if statement.where else lambda _: True
        self._orders = [(self._path(each.field, each.at), each) for each in statement.order]

    def rows(self) -> list[Values]:
        """The records, in order, cut to OFFSET and LIMIT."""
        among = self._candidates(self._statement.where)
        found = [
            row
            for row in self._store.scan(self.sobject, self._as_of, among)
            if (self._deleted or not row["IsDeleted"]) and self._holds(row)
        ]
        found.sort(key=lambda row: (crc32(row["Id"].encode()), row["Id"]))
        for path, order in reversed(self._orders):
            _sort(found, path[1], lambda row, path=path: self.value(path, row), order)  # type: ignore[misc]
        end = None if self._statement.limit is None else self._statement.offset + self._statement.limit
        return found[self._statement.offset : end]

    def value(self, path: Path, row: Values) -> Any:
        """A field of a row, or of the record that the row refers to."""
        reference, each = path
        if reference is None:
            return row.get(each.name)
        parent = self.parent(reference, row)
        return None if parent is None else parent.get(each.name)

    def parent(self, reference: Field, row: Values) -> Values | None:
        """The record that a row refers to."""
        key = row.get(reference.name)
        return self._store.get(key, self._as_of) if key else None

    # names

    def _selected(self) -> Iterator[Path]:
        seen: set[tuple[str, str]] = set()
        for name, at in self._statement.fields:
            if name.startswith("FIELDS("):
                if name != "FIELDS(STANDARD)" and (self._statement.limit is None or self._statement.limit > 200):
                    raise error(self._statement.text, at, "The SOQL FIELDS function must have a LIMIT of at most 200")
                for each in self.sobject:
                    if name == "FIELDS(ALL)" or each.custom == (name == "FIELDS(CUSTOM)"):
                        yield None, each
                continue
            path = self._path(name, at)
            known = (path[0].name if path[0] else "", path[1].name)
            if known in seen:
                raise error(self._statement.text, at, f"duplicate field selected: {path[1].name}", "INVALID_FIELD")
            seen.add(known)
            yield path

    def _path(self, name: str, at: int) -> Path:
        parts = name.split(".")
        own = {self.sobject.name.lower(), (self._statement.alias or "").lower()}
        if len(parts) > 1 and parts[0].lower() in own and self.sobject.parent(parts[0]) is None:
            parts = parts[1:]
        if len(parts) > 2:
            raise unsupported("relationships over more than one level")
        of, reference = self.sobject, None
        if len(parts) == 2:
            reference = self.sobject.parent(parts[0])
            if reference is None:
                message = (
                    f"Didn't understand relationship '{parts[0]}' in field path. If you are attempting to use a "
                    "custom relationship, be sure to append the '__r' after the custom relationship name. "
                    "Please reference your WSDL or the describe call for the appropriate names."
                )
                raise error(self._statement.text, at, message, "INVALID_FIELD")
            parent = self._store.sobject(reference.refers_to or "")
            if parent is None:
                raise unsupported(f"the fields of {reference.refers_to}")
            of = parent
        found = of.find(parts[-1])
        if found is None:
            raise no_such_column(of, parts[-1], self._statement.text, at)
        return reference, found

    # conditions

    def _bound(self, condition: Condition) -> Callable[[Values], bool]:
        if isinstance(condition, Not):
            inner = self._bound(condition.condition)
            return lambda row: not inner(row)
        if isinstance(condition, AllOf):
            every = [self._bound(each) for each in condition.conditions]
            return lambda row: all(each(row) for each in every)
        if isinstance(condition, AnyOf):
            either = [self._bound(each) for each in condition.conditions]
            return lambda row: any(each(row) for each in either)
        path = self._path(condition.field, condition.at)
        holds = self._comparison(path[1], condition)
        return lambda row: holds(self.value(path, row))

    def _comparison(self, of: Field, asked: Comparison) -> Callable[[Any], bool]:
        if not of.filterable:
            raise self._refused(asked, f"field '{of.name}' can not be filtered in a query call")
        for value in asked.values:
            self._check(of, asked, value)
        if asked.operator == "LIKE":
            like = _like(asked.values[0])
            return lambda held: held is not None and like.fullmatch(str(held)) is not None
        if asked.operator in {"INCLUDES", "EXCLUDES"}:
            wanted = [set(str(value).lower().split(";")) for value in asked.values]
            inside = asked.operator == "INCLUDES"
            return lambda held: inside == any(each <= _parts(held) for each in wanted)
        if asked.operator in _ORDERING:
            return self._ordered(of, asked)
        equal = [self._equal(of, value) for value in asked.values]
        positive = asked.operator in {"=", "IN"}
        return lambda held: positive == any(each(held) for each in equal)

    def _equal(self, of: Field, value: Value) -> Callable[[Any], bool]:
        if isinstance(value, DateRange):
            start, end = bounds(value.name, self._store.clock.now(), days=of.type == "date")
            return lambda held: held is not None and start <= held < end
        if value is None or value == "":
            return lambda held: held is None
        wanted = _comparable(of, value)
        return lambda held: held is not None and bool(_comparable(of, held) == wanted)

    def _ordered(self, of: Field, asked: Comparison) -> Callable[[Any], bool]:
        value, compare = asked.values[0], _ORDERING[asked.operator]
        if isinstance(value, DateRange):
            start, end = bounds(value.name, self._store.clock.now(), days=of.type == "date")
            bound = start if asked.operator in {"<", ">="} else end
            compare = operator.lt if asked.operator in {"<", "<="} else operator.ge
            return lambda held: held is not None and compare(held, bound)
        if value is None:
            return lambda _: False
        wanted = _comparable(of, value)
        return lambda held: held is not None and compare(_comparable(of, held), wanted)

    def _refused(self, asked: Comparison, message: str, code: str = "INVALID_FIELD") -> ApiError:
        return error(self._statement.text, asked.at, message, code)

    def _check(self, of: Field, asked: Comparison, value: Value) -> None:
        wrong = f"value of filter criterion for field '{of.name}' must be of type {_type(of)}"
        several = asked.operator in {"INCLUDES", "EXCLUDES"}
        if several != (of.type == "multipicklist") and (several or asked.operator not in {"=", "!="}):
            message = f"invalid operator on {of.type} field"
            raise self._refused(asked, message, "INVALID_QUERY_FILTER_OPERATOR")
        if asked.operator == "LIKE" and of.type not in TEXT:
            raise self._refused(asked, f"invalid operator on {of.type} field", "INVALID_QUERY_FILTER_OPERATOR")
        if of.type in {"id", "reference", "boolean"} and asked.operator in _ORDERING and of.type != "id":
            raise self._refused(asked, f"invalid operator on {of.type} field", "INVALID_QUERY_FILTER_OPERATOR")
        if value is None:
            return
        texts = isinstance(value, str | Pattern)
        if of.type in {"id", "reference"}:
            if not texts:
                raise self._refused(asked, f"{wrong} and should be enclosed in quotes")
            if value != "" and ids.with_suffix(str(value)) is None:
                raise self._refused(asked, f"invalid ID field: {value}", "INVALID_QUERY_FILTER_OPERATOR")
            return
        if of.type in TEXT | {"multipicklist"}:
            if not texts:
                raise self._refused(asked, f"{wrong} and should be enclosed in quotes")
            return
        if texts:
            raise self._refused(asked, f"{wrong} and should not be enclosed in quotes")
        fits = {
            "boolean": isinstance(value, bool),
            "date": isinstance(value, DateRange) or (isinstance(value, date) and not isinstance(value, datetime)),
            "datetime": isinstance(value, DateRange | datetime),
        }.get(of.type, isinstance(value, Decimal))
        if not fits:
            raise self._refused(asked, wrong)

    # which records to look at

    def _candidates(self, where: Condition | None) -> set[str] | None:
        """The only records that can hold, by Id or External Id; None for all."""
        if isinstance(where, AllOf):
            found = [each for each in map(self._candidates, where.conditions) if each is not None]
            return min(found, key=len, default=None)
        if not isinstance(where, Comparison) or where.operator not in {"=", "IN"} or "." in where.field:
            return None
        of = self.sobject.find(where.field)
        texts = [value for value in where.values if isinstance(value, str) and value]
        if of is None or len(texts) < len(where.values):
            return None
        if of.type == "id":
            return {whole for value in texts if (whole := ids.with_suffix(value))}
        if of.external_id:
            return set().union(*(self._store.with_value(self.sobject, of.name, value) for value in texts))
        return None


def no_such_column(of: SObject, name: str, text: str = "", at: int = 0) -> ApiError:
    """A field that is not there, or not for this user."""
    message = (
        f"No such column '{name}' on entity '{of.name}'. If you are attempting to use a custom field, be sure to "
        "append the '__c' after the custom field name. Please reference your WSDL or the describe call for "
        "the appropriate names."
    )
    return error(text, at, message, "INVALID_FIELD") if text else ApiError(400, "INVALID_FIELD", message)


def _type(of: Field) -> str:
    if of.type == "datetime":
        return "dateTime"
    return "string" if of.type in TEXT | {"id", "reference", "multipicklist"} else of.type


def _parts(held: Any) -> set[str]:
    return set(str(held).lower().split(";")) if held else set()


def _comparable(of: Field, value: Any) -> Any:
    if of.type in {"id", "reference"}:
        return ids.with_suffix(str(value))
    if of.type in NUMBERS:
        return Decimal(value)
    if of.type == "multipicklist":
        return tuple(sorted(_parts(value)))
    if of.type in TEXT and not of.case_sensitive:
        return str(value).lower()
    return value


def _like(value: Value) -> re.Pattern[str]:
    parts = value.parts if isinstance(value, Pattern) else ()
    text = "".join({"%": ".*", "_": "."}[each] if wild else re.escape(each) for each, wild in parts)
    return re.compile(text, re.IGNORECASE | re.DOTALL)


def _sort(rows: list[Values], of: Field, value: Callable[[Values], Any], order: Order) -> None:
    def key(row: Values) -> Any:
        return _comparable(of, value(row))

    empty = [row for row in rows if value(row) is None]
    full = sorted((row for row in rows if value(row) is not None), key=key, reverse=order.descending)
    rows[:] = full + empty if order.nulls_last else empty + full


def bounds(name: str, now: datetime, *, days: bool) -> tuple[Any, Any]:
    """The first moment of a date literal and the first after it, as dates where `days`."""
    today = now.astimezone(UTC).date()
    word, _, number = name.partition(":")
    start, end = _range(word, int(number or 0), today)
    if days:
        return start, end
    return datetime.combine(start, time(), UTC), datetime.combine(end, time(), UTC)


def _range(word: str, n: int, today: date) -> tuple[date, date]:
    day = timedelta(days=1)
    simple = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1, "N_DAYS_AGO": -n}
    if word in simple:
        return today + simple[word] * day, today + (simple[word] + 1) * day
    if word in {"LAST_90_DAYS", "LAST_N_DAYS"}:
        return today - (90 if word == "LAST_90_DAYS" else n) * day, today + day
    if word in {"NEXT_90_DAYS", "NEXT_N_DAYS"}:
        return today + day, today + ((90 if word == "NEXT_90_DAYS" else n) + 1) * day
    direction, _, unit = word.replace("_N_", "_").partition("_")
    unit = unit.removesuffix("S")
    count = n or 1
    first = _first(today, unit)
    if direction == "THIS":
        return first, _moved(first, unit, 1)
    if direction == "LAST":
        return _moved(first, unit, -count), first
    return _moved(first, unit, 1), _moved(first, unit, count + 1)


def _first(day: date, unit: str) -> date:
    if unit == "WEEK":
        return day - timedelta(days=(day.weekday() + 1) % 7)
    return day.replace(day=1) if unit == "MONTH" else day.replace(month=1, day=1)


def _moved(first: date, unit: str, count: int) -> date:
    if unit == "WEEK":
        return first + timedelta(weeks=count)
    months = first.year * 12 + first.month - 1 + count * (1 if unit == "MONTH" else 12)
    return date(months // 12, months % 12 + 1, 1)
