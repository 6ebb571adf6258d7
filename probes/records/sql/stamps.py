"""Change stamps: how to query a column for changes since an instant without ever missing one.

The database compares columns of instants. A local time without a zone goes back by an hour once a year, so such a
query starts at the first local time that is still to come. Text is only compared as text if all of it has one form;
otherwise a wide range of it is read and compared here, instant by instant, and values that are not instants are
always included.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from probes.contract import ProbeError, ReadSpec, Reason, StampsError
from probes.records.sql.dialects.dialect import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000}

LONGEST_SHIFT = timedelta(hours=3)
"""The most that a zone's clock was set back at once in the last century, except for the date line."""

WIDEST_OFFSET = timedelta(hours=24)
"""More than a written local time can be behind UTC."""

SCAN_CEILING = 50_000
"""Most stamps compared here in one poll, if the database cannot compare them."""

STRAYS_CEILING = 1_000
"""Most stamps that are not ISO text, which are examined in every poll."""

REST_SHARE = 20
"""A scan that found all stamps in one form is repeated after this many times its duration: a stamp in another form is
found that much later. Until then changes since the start of the scan are not confirmed, and the next scan reads all
of that time."""

DAY_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
INSTANT = r"^[0-9]{4}-[0-9][0-9]-[0-9][0-9]"
NUMBER = r"^ *[+-]?[0-9]+([.][0-9]+)? *$"

_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True)
class Ordered:
    """Stamps that the database itself can put in order.

    Attributes:
        expression: what is compared and ordered by.
        bound: an instant in the column's form, never too late.
        unordered: matches rows with a stamp that cannot be compared; they are always included.
    """

    expression: sa.ColumnElement[Any]
    bound: Callable[[datetime], Any]
    unordered: sa.ColumnElement[bool] | None = None

    def since(self) -> sa.ColumnElement[bool]:
        """Condition: changed at or after the parameter `since`."""
        later = sa.type_coerce(self.expression, sa.types.NullType()) >= sa.bindparam("since")
        return later if self.unordered is None else later | self.unordered

    def order(self) -> list[sa.ColumnElement[Any]]:
        """Order: oldest first, incomparable ones last."""
        return [self.expression] if self.unordered is None else [self.expression.is_(None), self.expression]


@dataclass(frozen=True, slots=True)
class Form:
    """How a text writes an instant: the parts between day and time, and after the time."""

    between: str
    suffix: str

    def bound(self, at: datetime, zone: tzinfo) -> str:
        """The instant in this form; whole seconds are a prefix of every finer text and so never too late."""
        local = earliest_local(at, self._zone(zone)) if not self.suffix else at.astimezone(self._zone(zone))
        return local.strftime(f"%Y-%m-%d{self.between}%H:%M:%S")

    def pattern(self) -> str:
        """A regular expression for every dialect."""
        time_of_day = "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]([.][0-9]+)?"
        return f"{INSTANT}{self.between}{time_of_day}{re.sub('([+])', '[+]', self.suffix)}$"

    def glob(self) -> str:
        """The same for SQLite's GLOB, without the part after the seconds."""
        return f"{DAY_GLOB}{self.between}[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*"

    def _zone(self, zone: tzinfo) -> tzinfo:
        if not self.suffix:
            return zone
        if self.suffix == "Z":
            return UTC
        hours, minutes = int(self.suffix[1:3]), int(self.suffix[4:])
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if self.suffix[0] == "-" else offset)


def form_of(text: Any) -> Form | None:
    """How a text writes an instant, None for forms that do not sort chronologically."""
    match = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
    return None if match is None else Form(match[1], match[2] or "")


@dataclass(slots=True)
class Written:
    """Stamps kept as text.

    Attributes:
        name: the column's name, for messages.
        zone: the zone of local times that carry none.
        globs: use SQLite's GLOB, because Python runs its regular expressions row by row.
        form: the form of the newest stamp, None if unknown.
    """

    name: str
    column: sa.ColumnClause[Any]
    zone: tzinfo
    globs: bool = False
    form: Form | None = None
    _scan_after: float = 0.0
    _scan_began: float | None = None

    def instant(self, text: Any) -> datetime | None:
        """The earliest instant that a stamp may stand for; None if it is not an instant."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if not isinstance(text, str):
            return None
        try:
            at = datetime.fromisoformat(text.strip())
            if at.tzinfo is not None:
                return at.astimezone(UTC)
            return min(at.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        except (ValueError, OverflowError):
            return None

    def day(self, since: datetime) -> str:
        """A day before which no text can be an instant at or after `since`."""
        return (since.astimezone(UTC) - WIDEST_OFFSET).strftime("%Y-%m-%d")

    def _text(self) -> sa.ColumnElement[str]:
        return sa.cast(self.column, sa.Text)

    def later(self) -> sa.ColumnElement[bool]:
        """Condition: changed at or after `since`, if all stamps have the given form."""
        return sa.type_coerce(self.column, sa.types.NullType()) >= sa.bindparam("since")

    def unlike(self) -> sa.ColumnElement[bool]:
        """Condition: not written in the given form."""
        if not self.globs:
            return sa.not_(self._text().regexp_match(sa.bindparam("pattern")))
        text, behind = self._text(), sa.bindparam("behind", type_=sa.Integer())
        length = sa.func.length(text)
        fraction = sa.func.substr(text, 20, length - 19 - behind)
        alike: sa.ColumnElement[bool] = text.op("GLOB", is_comparison=True)(sa.bindparam("pattern"))
        alike &= sa.not_(fraction.op("GLOB", is_comparison=True)("*[^0-9.]*"))
        return sa.not_(alike & (sa.func.substr(text, length - behind + 1) == sa.bindparam("suffix")))

    def near(self) -> sa.ColumnElement[bool]:
        """Condition: may have changed at or after `since`, in any form."""
        return sa.type_coerce(self.column, sa.types.NullType()) >= sa.bindparam("day")

    def stray(self) -> sa.ColumnElement[bool]:
        """Condition: sorts before all that, and is not ISO text."""
        mark = sa.type_coerce(self.column, sa.types.NullType())
        text = self._text()
        iso = text.op("GLOB", is_comparison=True)(f"{DAY_GLOB}*") if self.globs else text.regexp_match(INSTANT)
        return (mark < sa.bindparam("day")) & sa.not_(iso)

    def parameters(self, since: datetime, form: Form | None = None) -> dict[str, Any]:
        """The parameters of the conditions."""
        bound: dict[str, Any] = {"day": self.day(since)}
        if form is None:
            return bound
        bound |= {"since": form.bound(since, self.zone), "pattern": form.glob() if self.globs else form.pattern()}
        return {**bound, "behind": len(form.suffix), "suffix": form.suffix} if self.globs else bound

    def scan_is_due(self, now: float) -> bool:
        """Whether to scan again for stamps in other forms, at this monotonic instant."""
        return now >= self._scan_after

    def rested_s(self, now: float) -> float:
        """Seconds since the last scan for stamps in other forms; 0 before the first one."""
        return 0.0 if self._scan_began is None else now - self._scan_began

    def scanned(self, began: float, *, found: bool) -> None:
        """Note a scan: rest if it found no other form; otherwise each read scans again."""
        ended = time.monotonic()
        self._scan_began = began
        self._scan_after = ended + REST_SHARE * (ended - began) if not found else 0.0

    def too_many(self, what: str, ceiling: int) -> ProbeError:
        """The error if too many stamps would have to be compared here."""
        return StampsError(
            Reason.QUERY,
            f"{self.name}: more than {ceiling:,} stamps {what}, so changes cannot be found by it",
            hint="write all of them in one form such as 2026-03-01T12:00:00Z, or give the column a timestamp type",
        )


def stamps_of(
    connection: sa.Connection, dialect: Dialect, spec: ReadSpec, column: sa.ColumnClause[Any] | None
) -> Ordered | Written | None:
    """How to query this column of change stamps; None if the map names none.

    Raises:
        ProbeError: it does not hold instants.
    """
    if column is None:
        return None
    type_ = column.type.data_type if isinstance(column.type, postgresql.DOMAIN) else column.type
    zone = ZoneInfo(spec.zone) if spec.zone else UTC
    if spec.changed_at_unit:
        return _numbers(column, type_, spec.changed_at_unit)
    if isinstance(type_, sa.types.DateTime) and dialect.typed_instants:
        if getattr(type_, "timezone", False):
            return Ordered(column, lambda at: at)
        # MySQL's TIMESTAMP is returned in the session's zone, which is UTC here; DATETIME in its own.
        if isinstance(type_, sa.TIMESTAMP) and dialect.utc_timestamps:
            return Ordered(column, lambda at: at.astimezone(UTC).replace(tzinfo=None))
        return Ordered(column, lambda at: earliest_local(at, zone))
    if dialect.typed_instants:
        _refuse_type(spec, type_)
    example = connection.execute(
        sa.select(sa.type_coerce(column, sa.types.NullType()))
        .where(column.is_not(None))
        .order_by(column.desc())  # a number sorts before today
        .limit(1)
    ).scalar()
    _refuse_example(spec, example)
    return Written(f"{spec.collection}.{spec.changed_at}", column, zone, globs=dialect.globs)


def _numbers(column: sa.ColumnClause[Any], type_: Any, unit: str) -> Ordered:
    per_s = PER_S[unit]

    def bound(at: datetime) -> int:
        return int((at - EPOCH) / timedelta(seconds=1) * per_s)

    if not isinstance(type_, sa.String):
        return Ordered(column, bound)
    number = sa.case((column.regexp_match(NUMBER), sa.cast(column, sa.Numeric(38, 6))))
    return Ordered(number, bound, column.is_not(None) & number.is_(None))


def _refuse_type(spec: ReadSpec, type_: Any) -> None:
    if isinstance(type_, sa.types.Integer | sa.types.Numeric):
        _refuse_example(spec, 0)
    if isinstance(type_, sa.types.Date):
        _refuse_days(spec)
    if not isinstance(type_, sa.types.String | sa.types.NullType):
        raise ProbeError(
            Reason.QUERY,
            f"{spec.collection}.{spec.changed_at} is of type {str(type_).lower()} and holds no instants",
            hint="changed_at: names a column with date and time",
        )


def _refuse_example(spec: ReadSpec, example: Any) -> None:
    numeric = isinstance(example, int | float) or (isinstance(example, str) and re.fullmatch(NUMBER, example))
    if numeric:
        raise ProbeError(
            Reason.QUERY,
            f"{spec.collection}.{spec.changed_at} holds numbers",
            hint="say changed_at_unit: s, ms or us",
        )
    if isinstance(example, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", example.strip()):
        _refuse_days(spec)


def _refuse_days(spec: ReadSpec) -> None:
    raise ProbeError(
        Reason.QUERY,
        f"{spec.collection}.{spec.changed_at} holds days without a time: when in a day a record changed is unknown",
        hint="name a column with date and time, or a growing version:; with neither, leave changed_at out, "
        "and only the sweep finds changes",
    )


def earliest_local(at: datetime, zone: tzinfo) -> datetime:
    """The earliest local time, without its zone, that a change at or after an instant can have."""
    local = at.astimezone(zone).replace(tzinfo=None)
    before, ahead = _offset(at, zone), _offset(at + LONGEST_SHIFT, zone)
    if ahead >= before:
        return local
    low, high = at, at + LONGEST_SHIFT
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    # Up to a second before the clock was set back, so never too late.
    return min(local, (low + _offset(high, zone)).replace(tzinfo=None))


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
