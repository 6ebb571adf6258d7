"""Records in a SQL database: PostgreSQL, MariaDB or MySQL, SQLite.

Identifiers are looked up in the database's catalogue and quoted by SQLAlchemy; values are always bound.
`probes.records.sql.column_types` defines how columns of each type are selected and how keys are compared with them.
Rows are returned without SQLAlchemy's result processors; a value that the driver cannot convert is read as text.
"""

from __future__ import annotations

import contextlib
import difflib
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from probes.call_deadline import one_call, some_calls
from probes.contract import (
    INSPECT_CALLS,
    WRITTEN_FREELY,
    ClockSample,
    CollectionSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
)
from probes.letter_case import CASELESS, writings
from probes.phone_numbers import PHONE, SEPARATORS, TAIL, tail
from probes.ranking import RANKS, rank_hex, rank_sql
from probes.records.sql import key_cursors, key_parts
from probes.records.sql.catalogue import describe, leading_columns
from probes.records.sql.collection import Collection
from probes.records.sql.column_types import INT64, UNKNOWN, Asked, KeyColumn, Native, NotText
from probes.records.sql.database_url import read_url
from probes.records.sql.dialects.dialect import Build, dialect_of
from probes.records.sql.names import join_name, split_name
from probes.records.sql.read_only import prove_read_only
from probes.records.sql.sessions import Sessions
from probes.records.sql.settings import SqlSettings
from probes.records.sql.sqlite_file import undisturbed
from probes.records.sql.stamps import (
    SCAN_CEILING,
    STRAYS_CEILING,
    Form,
    Ordered,
    Written,
    form_of,
    stamps_of,
)

RANK_SCAN_LIMIT = 200_000
"""Most rows with ranks computed one by one: some 50 ms of a server's time."""


# A column of a type without a counterpart in SQLAlchemy is read as text, which is what `column_types` is for.
warnings.filterwarnings("ignore", message="Did not recognize type", category=sa.exc.SAWarning)
# A name with a line break in SHOW CREATE TABLE, which `catalogue` reads from elsewhere.
warnings.filterwarnings("ignore", message="Unknown (schema content|column definition)", category=sa.exc.SAWarning)


class SqlProbe:
    """Reads one SQL database through a small pool of read-only, autocommitting connections."""

    def __init__(self, settings: SqlSettings) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        address = read_url(settings.url.get_secret_value())
        self._dialect = dialect_of(address, settings.budget.timeout_s)
        self._sessions = Sessions(settings, self._dialect)
        self._session = self._sessions.session
        self._engine = self._sessions.engine
        # The engine's own would double a percent sign for the driver, and a whole statement doubles it again.
        dialect_class: Any = type(self._engine.dialect)
        self._quoted = dialect_class(paramstyle="named").identifier_preparer
        self._collections: dict[tuple[Any, ...], Collection] = {}

    # -- the catalogue

    @some_calls(INSPECT_CALLS)
    @undisturbed
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        collection = self._collection(spec)
        schema, name = split_name(spec.collection)
        with self._session() as connection:
            inspector = sa.inspect(connection)
            self._check_rights(connection, spec, schema, name)
            if name in inspector.get_view_names(schema=schema):
                return ()
            led = leading_columns(connection, self._dialect, name, schema)
            if led is None:
                return (f"{spec.collection}: the login may not see whether its columns have an index",)
            unmarked = self._unmarked(connection, spec, collection) if spec.mark in led else ()
            unfound = self._unfound(connection, spec, collection, led)
        exact = [
            name for name, type_ in zip(spec.key_fields, spec.key_types, strict=True) if type_ not in WRITTEN_FREELY
        ]
        keyed = next((each for each in exact or spec.key_fields if each in led), spec.key)
        wanted = ([] if unfound or (spec.written_freely and spec.key_parts) else [keyed]) + (
            [spec.mark] if collection.mark is not None else []
        )
        slow = (
            f"{spec.collection}.{column} has no index: every read scans the table"
            for column in wanted
            if column and column not in led
        )
        return (*unfound, *slow, *unmarked)

    def _unfound(
        self, connection: sa.Connection, spec: ReadSpec, collection: Collection, led: Sequence[str]
    ) -> tuple[str, ...]:
        """Remarks on a key that may be written in several ways, if no index serves it."""
        remarks = []
        for column, type_, finder in zip(spec.key_fields, spec.key_types, collection.finders, strict=True):
            if type_ in WRITTEN_FREELY:
                remedy = self._dialect.unserved(connection, finder, column, collection.table, led, self._engine)
                what = "in whatever case" if type_ == CASELESS else "however a number is written"
                remarks += [
                    remedy and f"{spec.collection}.{column} has no index by which it is found {what}: {remedy}"
                ]
            elif column in led:
                return ()
        # One part that an index finds is enough: of its records, the other parts are compared.
        return tuple(each for each in remarks if each) if all(remarks) else ()

    def _unmarked(self, connection: sa.Connection, spec: ReadSpec, collection: Collection) -> tuple[str, ...]:
        """Remarks on records without a stamp or version."""
        if collection.mark is None:
            return ()
        some = sa.select(sa.literal(1)).select_from(collection.table).where(collection.mark.is_(None)).limit(1)
        if connection.execute(some).scalar() is None:
            return ()
        return (f"{spec.collection}.{spec.mark} is NULL in some records: only the sweep finds their changes",)

    def _check_rights(self, connection: sa.Connection, spec: ReadSpec, schema: str | None, name: str) -> None:
        """Check that every wanted column may be read, by asking the database without reading data."""
        wanted = list(dict.fromkeys(each for each in (*spec.key_fields, spec.mark, *spec.fields) if each is not None))
        refused = self._dialect.unreadable_columns(connection, name, schema, wanted)
        if refused:
            what = ", ".join(refused) if len(refused) < len(wanted) else "any column that the map names"
            raise ProbeError(
                Reason.PERMISSION,
                f"the login may not read {what} of {spec.collection}",
                hint="grant SELECT to the auditor's login",
            )
        table = self._collection(spec).table
        connection.execute(sa.select(*(table.c[each] for each in wanted)).where(sa.false())).close()

    @one_call
    @undisturbed
    def collections(self) -> list[CollectionSchema]:
        with self._session() as connection:
            return describe(connection, self._dialect)

    def _collection(self, spec: ReadSpec) -> Collection:
        cached = (
            *(spec.collection, spec.key_fields, spec.key_types, spec.mistaken),
            *(spec.changed_at, spec.version, spec.fields),
        )
        collection = self._collections.get(cached)
        # One for all threads, made by the first: a statement must not mix the columns of two of them.
        return self._collections.setdefault(cached, self._reflect(spec)) if collection is None else collection

    def _reflect(self, spec: ReadSpec) -> Collection:
        schema, name = split_name(spec.collection)
        with self._session() as connection, self._any_text(connection, wanted=True):
            inspector = sa.inspect(connection)
            try:
                described = self._dialect.columns(connection, name, schema)
            except (NoSuchTableError, DBAPIError) as error:
                if schema is not None and inspector.has_table(spec.collection):
                    quoted = join_name(None, spec.collection)
                    hint = f"a name with a dot is written in double quotes: {quoted}"
                    raise ProbeError(Reason.QUERY, f"no table named {spec.collection!r}", hint=hint) from None
                if isinstance(error, DBAPIError):
                    raise
                there = inspector.get_table_names(schema=schema) + inspector.get_view_names(schema=schema)
                raise _unknown("table", spec.collection, [join_name(schema, each) for each in there]) from None
            types = {column["name"]: column["type"] for column in described}
            for wanted in (*spec.key_fields, spec.mark, *spec.fields):
                if wanted is not None and wanted not in types:
                    raise _unknown(f"column in {spec.collection}", wanted, list(types), self._dialect.absent_columns)
            columns = {each: sa.column(each, type_) for each, type_ in types.items()}
            table = sa.table(name, *columns.values(), schema=schema)
            mark = table.c[spec.mark] if spec.mark else None
            stamps = stamps_of(connection, self._dialect, spec, mark if spec.changed_at else None)
            natives = self._dialect.native_types(connection, schema, name)
            keys = tuple(table.c[each] for each in spec.key_fields)
            lookups = tuple(self._dialect.key_column(each, natives.get(each.name, UNKNOWN)) for each in keys)
            finders = tuple(
                self._finder(connection, spec, type_, table, lookup, each, natives.get(each.name, UNKNOWN))
                for each, type_, lookup in zip(keys, spec.key_types, lookups, strict=True)
            )
        return Collection(
            table=table,
            key=table.c[spec.key],
            mark=mark,
            natives=natives,
            names=(*spec.key_fields, spec.mark, *spec.fields),
            lookup=lookups[0],
            keys=keys,
            lookups=lookups,
            stamps=stamps,
            finders=finders,
        )

    def _finder(
        self,
        connection: sa.Connection,
        spec: ReadSpec,
        key_type: str,
        table: sa.TableClause,
        lookup: KeyColumn,
        column: sa.ColumnClause[Any],
        native: Native,
    ) -> KeyColumn:
        """How records are found by a column of their keys, which may be written in several ways."""
        if key_type == CASELESS:
            written = partial(writings, mistaken=spec.mistaken)
            return self._dialect.caseless_column(connection, table, column, native, written)
        if key_type == PHONE:
            text = self._dialect.without(column, SEPARATORS)
            if spec.mistaken:
                return self._dialect.containing_column(text, native, column.type, tail)
            text = self._dialect.last(text, TAIL)
            return self._dialect.written_column(text, native, column.type, lambda key: [tail(key)])
        return lookup

    @undisturbed
    def column_types(self, spec: ReadSpec) -> dict[str, Native]:
        """The type of each column of a spec, for statements that people run."""
        collection = self._collection(spec)
        return self._dialect.written_types(collection.table, collection.natives)

    # -- reading

    def batch_limit(self, spec: ReadSpec) -> int:
        return key_parts.AT_ONCE if spec.key_parts or spec.written_freely else 5000

    @one_call
    @undisturbed
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        collection = self._collection(spec)
        free = [at for at, type_ in enumerate(spec.key_types) if type_ in WRITTEN_FREELY]
        return key_parts.requested(
            self._among(collection, collection.finders, keys, free), collection.finders, keys, free
        )

    def _among(
        self, collection: Collection, lookups: Sequence[KeyColumn], keys: Sequence[Key], free: Sequence[int] = ()
    ) -> list[Row]:
        """The rows with one of these keys; `free` as in `key_parts.among`."""
        if len(lookups) > 1:
            found = key_parts.among(lookups, keys, free)
            if found is None:
                return []
            wanted, parameters = found
            return self._rows(collection, lambda columns: sa.select(*columns).where(wanted), parameters)
        (column,) = lookups
        parameters = column.parameters(keys)
        if not any(parameters.values()):
            return []
        among = column.among()
        return self._rows(collection, lambda columns: sa.select(*columns).where(among), parameters)

    @one_call
    @undisturbed
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        collection = self._collection(spec)
        mark, stamps = collection.mark, collection.stamps
        if mark is None:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no changed_at and no version field in the map")
        if isinstance(stamps, Written) and isinstance(since, datetime):
            return self._changed_in_text(collection, stamps, since, limit)
        if stamps is None or since is None or isinstance(stamps, Written):
            stamps = Ordered(mark, lambda at: at)
        wanted = mark.is_not(None) if since is None else stamps.since()
        order = [*stamps.order(), *collection.keys]
        rows = self._rows(
            collection,
            lambda columns: sa.select(*columns).where(wanted).order_by(*order).limit(limit),
            {} if since is None else {"since": stamps.bound(since) if isinstance(since, datetime) else since},
        )
        return Page(rows=rows, more=len(rows) >= limit)

    def _changed_in_text(self, collection: Collection, stamps: Written, since: datetime, limit: int) -> Page:
        """What changed since, of a column of text: by the text where all is written alike, else by its instants."""

        def read(wanted: sa.ColumnElement[bool], since: datetime, form: Form | None, most: int) -> list[Row]:
            order = (stamps.column, *collection.keys)
            return self._rows(
                collection,
                lambda columns: sa.select(*columns).where(wanted).order_by(*order).limit(most),
                stamps.parameters(since, form),
            )

        form = self._form(stamps, since)
        strays: list[Row] = []
        mixed = form is None
        began = time.monotonic()
        rested_s = stamps.rested_s(began)
        unscanned = since - timedelta(seconds=rested_s)
        if stamps.scan_is_due(began):
            strays = self._strays(collection, stamps, unscanned)
            mixed = form is None or bool(read(stamps.near() & stamps.unlike(), unscanned, form, 1))
            stamps.scanned(began, found=mixed or bool(strays))
            rested_s = 0.0
        if not mixed and not strays:
            rows = read(stamps.later(), since, form, limit)
            if all(form_of(row[1]) == form for row in rows):
                return Page(rows=rows, more=len(rows) >= limit, behind_s=rested_s)
        stamps.form = None
        since = unscanned
        near = read(stamps.near(), since, None, SCAN_CEILING + 1)
        if len(near) > SCAN_CEILING:
            raise stamps.too_many("of the last days, not all written alike", SCAN_CEILING)
        dated = [(stamps.instant(row[1]), row) for row in near]
        later = sorted(((at, row) for at, row in dated if at is not None and at >= since), key=lambda each: each[0])
        rows = [row for _, row in later[:limit]] + [row for at, row in dated if at is None] + strays
        return Page(rows=rows, more=len(later) > limit)

    def _form(self, stamps: Written, since: datetime) -> Form | None:
        """The probable form of the stamps; stamps in other forms are found by every read."""
        if stamps.form is None:
            newest = sa.select(stamps.column).where(stamps.near()).order_by(stamps.column.desc()).limit(1)
            stamps.form = form_of(self._one(newest, stamps.parameters(since))[0])
        return stamps.form

    def _strays(self, collection: Collection, stamps: Written, since: datetime) -> list[Row]:
        """Records with stamps that are not ISO text, sort before the requested range, and may have changed since."""
        stray = stamps.stray()
        rows = self._rows(
            collection,
            lambda columns: sa.select(*columns).where(stray).limit(STRAYS_CEILING + 1),
            stamps.parameters(since),
        )
        if len(rows) > STRAYS_CEILING:
            raise stamps.too_many("that are no instants in ISO form", STRAYS_CEILING)
        return [row for row in rows if (at := stamps.instant(row[1])) is None or at >= since]

    @one_call
    @undisturbed
    def highest_version(self, spec: ReadSpec) -> int | None:
        mark = self._collection(spec).mark
        if mark is None or spec.version is None:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no version field in the map")
        highest = self._one(sa.select(sa.func.max(mark)), {})[0]
        try:
            number = None if highest is None else int(highest)
        except (ValueError, ArithmeticError):
            return None
        return number if number in INT64 else None

    @one_call
    @undisturbed
    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        if spec.key_parts or spec.written_freely:
            return False
        table = self._collection(spec.keys_only()).table
        some = sa.select(sa.literal(1).label("one")).select_from(table).limit(RANK_SCAN_LIMIT + 1).subquery()
        with self._session() as connection:
            rows = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
            if rows <= RANK_SCAN_LIMIT:
                return True
            key = self._collection(spec.keys_only()).key
            ranked = self._ranked(spec, seed, 0, RANKS, 1000, key)
            return self._dialect.ranks_by_index(connection, ranked, self._engine)

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        if spec.key_parts or spec.written_freely:
            return None
        table = self._quoted.format_table(self._collection(spec.keys_only()).table)
        return self._dialect.rank_index(table, self._rank(spec, seed))

    @one_call
    @undisturbed
    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[Any, int]]:
        rows = self._rows(
            self._collection(spec.keys_only()),
            lambda columns: self._ranked(spec, seed, lower, upper, limit, columns[0]),
            {},
            names=(spec.key,),
        )
        return [(key, int(rank, 16)) for key, rank in rows]

    def _ranked(
        self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int, key: sa.ColumnElement[Any]
    ) -> sa.Select[Any]:
        collection = self._collection(spec.keys_only())
        rank = sa.literal_column(self._rank(spec, seed), sa.String)
        wanted = sa.select(key, rank.label("rank")).where(collection.key.is_not(None)).order_by(rank).limit(limit)
        if lower > 0:
            wanted = wanted.where(rank >= rank_hex(lower))
        return wanted.where(rank < rank_hex(upper)) if upper < RANKS else wanted

    def _rank(self, spec: ReadSpec, seed: str) -> str:
        collection = self._collection(spec.keys_only())
        key, native = collection.key, collection.natives.get(spec.key, UNKNOWN)
        return rank_sql(
            self._dialect.address.dialect,
            self._dialect.rank_text(self._quoted.quote(spec.key), native),
            seed=seed,
            key_type=spec.key_type,
            binary=isinstance(key.type, sa.BINARY | sa.VARBINARY | sa.LargeBinary),
        )

    @one_call
    @undisturbed
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        rows, more = self._page(spec, after, limit)
        as_text = key_parts.cursor_of if spec.key_parts else key_cursors.as_text
        return Page(rows=rows, next=as_text(rows[-1][0]) if more else None, more=more)

    def _page(self, spec: ReadSpec, after: str | None, limit: int) -> tuple[list[Row], bool]:
        """The rows after a cursor, and whether more follow."""
        collection = self._collection(spec)
        lookups = collection.lookups
        nameless: list[Row] = []
        behind: sa.ColumnElement[bool] = sa.and_(*(key.is_not(None) for key in collection.keys))
        parameters: dict[str, Any] = {}
        if after is None:
            unnamed = sa.or_(*(key.is_(None) for key in collection.keys))
            nameless = self._rows(collection, lambda columns: sa.select(*columns).where(unnamed).limit(10), {})
        elif spec.key_parts:
            beyond_it, parameters = key_parts.behind(after, collection.keys, lookups)
            behind = sa.and_(behind, beyond_it)
        else:
            behind, parameters = key_cursors.behind(after, collection.key, collection.lookup)
        order = [each.column for each in lookups]
        rows = self._rows(
            collection,
            lambda columns: sa.select(*columns).where(behind).order_by(*order).limit(limit + 1),
            parameters,
        )
        more = len(rows) > limit
        if more:
            beyond = _folded(rows.pop()[0])
            # An invalid text is not a key, and its row is only counted.
            if _folded(rows[-1][0]) == beyond and not _is_invalid(rows[-1][0]):
                # The last key has more rows than fit: read it whole, the page may be longer than asked.
                last = [row[0] for row in rows if _folded(row[0]) == beyond]
                rows = [row for row in rows if _folded(row[0]) != beyond]
                whole = list(dict.fromkeys(last))
                rows += self._among(collection, lookups, whole)
        return nameless + rows, more

    def _rows(
        self,
        collection: Collection,
        build: Build,
        parameters: dict[str, Any],
        *,
        names: tuple[str | None, ...] | None = None,
    ) -> list[Row]:
        """Run a statement over a collection, plainly if it holds a value that the driver cannot convert.

        Args:
            names: the columns wanted, those of the spec by default.
        """
        count = len(collection.keys)
        if names is None and count > 1:
            flat = self._rows(collection, build, parameters, names=collection.names)
            return [(tuple(row[:count]), *row[count:]) for row in flat]
        wanted = collection.names if names is None else names
        if not collection.plain:
            try:
                return self._read(build, collection.asked(self._dialect, wanted, plainly=False), parameters)
            except ProbeError as failure:
                if failure.reason is not Reason.DECODE:
                    raise
            collection.plain = True
        return self._read(build, collection.asked(self._dialect, wanted, plainly=True), parameters, plainly=True)

    def _read(
        self, build: Build, columns: Sequence[Asked], parameters: dict[str, Any], *, plainly: bool = False
    ) -> list[Row]:
        with self._session() as connection, self._any_text(connection, wanted=plainly):
            try:
                cursor = connection.execute(self._dialect.statement(build, columns), parameters).cursor
                rows: list[Row] = self._dialect.fetched(cursor)
            except UnicodeDecodeError:
                connection.invalidate()  # the rest of the response is still in it
                raise
        converted = [(at, each.convert) for at, each in enumerate(columns) if each.convert is not None]
        return [_converted(row, converted) for row in rows] if converted else rows

    def _one(self, statement: sa.Select[Any], parameters: dict[str, Any]) -> Any:
        """The only row of a result, or one NULL if there is none."""
        with self._session() as connection, self._any_text(connection, wanted=True):
            row = connection.execute(statement, parameters).one_or_none()
        return (None,) if row is None else row

    def _any_text(self, connection: sa.Connection, *, wanted: bool) -> contextlib.AbstractContextManager[None]:
        return self._dialect.any_text(connection) if wanted else contextlib.nullcontext()

    @one_call
    @undisturbed
    def clock(self) -> ClockSample:
        text, resolution_s = self._dialect.clock
        with self._session() as connection:
            statement = sa.text(text)
            sent_at = datetime.now(UTC)
            server_time = connection.execute(statement).scalar_one()
            received_at = datetime.now(UTC)
        server_at = datetime.fromisoformat(server_time) if isinstance(server_time, str) else server_time
        return ClockSample(
            sent_at=sent_at,
            received_at=received_at,
            server_at=server_at.replace(tzinfo=UTC) if server_at.tzinfo is None else server_at.astimezone(UTC),
            resolution_s=resolution_s,
        )

    @one_call
    @undisturbed
    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """Ask the server, and try a write that would change no row even if it were let through."""
        attempt = None
        if spec is not None:
            collection = self._collection(spec)
            attempt = sa.update(collection.table).where(sa.false()).values({spec.key: collection.key})
        return prove_read_only(self._sessions, attempt)

    def close(self) -> None:
        self._sessions.close()


def _converted(row: Row, columns: Sequence[tuple[int, Callable[[Any], Any]]]) -> Row:
    values = list(row)
    for at, convert in columns:
        if values[at] is not None:
            values[at] = convert(values[at])
    return values


def _is_invalid(key: object) -> bool:
    """Whether a key holds a text that is none."""
    return any(map(_is_invalid, key)) if isinstance(key, tuple) else isinstance(key, NotText)


def _folded(key: object) -> object:
    if isinstance(key, tuple):
        return tuple(map(_folded, key))
    return key.casefold() if isinstance(key, str) else key


def _unknown(what: str, name: str, there: Sequence[str], note: str = "") -> ProbeError:
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(there)[:12]) or 'none'}"
    return ProbeError(Reason.QUERY, f"no {what} named {name!r}", hint=hint + note)
