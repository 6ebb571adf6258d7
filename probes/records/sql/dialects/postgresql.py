"""PostgreSQL, also through a pooler.

A session gets its settings when it connects. A pooler such as pgbouncer refuses or ignores them, and in transaction
pooling gives every transaction to another server session: through a pooler, each read is a transaction that is opened
READ ONLY with its own settings, and nothing is prepared on the server.
Source: pgbouncer.org/features.html (pooling modes), /config.html (ignore_startup_parameters);
postgresql.org/docs/15/errcodes-appendix.html (SQLSTATE classes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from probes.call_deadline import becomes
from probes.contract import Bits, Key, Reason, Row
from probes.letter_case import ASCII_LETTERS
from probes.records.sql import bounded_drivers
from probes.records.sql.bounded_drivers import ROWS_LIMIT_BYTES, TOO_LARGE_SETTING, VALUE_BYTES
from probes.records.sql.column_types import (
    PLAIN_TEXT,
    UNKNOWN,
    Asked,
    KeyColumn,
    MatchedColumn,
    Native,
    WritingsOf,
    WrittenColumn,
    binary_key,
    decimal_key,
    uuid_key,
)
from probes.records.sql.database_url import DatabaseUrl
from probes.records.sql.dialects.dialect import LOCK_TIMEOUT_S, NO_DATABASE, Build, Dialect, bytes_have_no_case

OUTPUT: Mapping[str, str] = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
"""How a session must format values; a role or database may have set something else."""

DRIVEN = PLAIN_TEXT | {
    *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bytea"),
    *("date", "timestamp", "timestamptz", "uuid"),
}
"""Types that the driver converts without losing anything."""

CALENDAR = frozenset({"date", "timestamp", "timestamptz"})

TEXTS = PLAIN_TEXT | {"char", "bytea", "json", "jsonb", "xml"}
"""Types of columns that hold texts or bytes of any length."""

RANK_COST_LIMIT = 12_000
"""The planner's cost of a thousand ranked keys above which there is no index on the rank."""

SCAN_COST_LIMIT = 3_000
"""The planner's cost of finding a record above which there is no index: some 100,000 records are read for it."""

OWN_SCHEMAS = frozenset({"information_schema", "pg_catalog", "pg_toast"})
"""Of PostgreSQL itself."""

OPTIONS_REFUSED = ("startup parameter", "command-line options", "startup options")
"""Messages of poolers that accept no session settings: pgbouncer, Amazon RDS Proxy, others."""

POOLER_SAYS = {
    "unsupported startup parameter": "pgbouncer refuses a parameter of the URL; see its ignore_startup_parameters",
    "transaction blocks not allowed": "pgbouncer pools by statement; set pool_mode = transaction or session",
    "query_wait_timeout": "pgbouncer has no free connection to the server; see its default_pool_size",
    "no more connections allowed": "pgbouncer is full; see its max_client_conn",
    "client_login_timeout": "pgbouncer could not log in to the server in time",
    "server_login_retry": "pgbouncer cannot log in to the server",
    "pgbouncer cannot connect": "pgbouncer runs, and the server behind it does not answer",
    "server login failed": "pgbouncer's own login to the server is refused",
    "no such database": "pgbouncer does not know the database; see its [databases]",
    "no such user": "pgbouncer does not know the user; see its auth_file or auth_query",
    "bouncer config error": "pgbouncer is set up wrongly",
    "pgbouncer": "the message is pgbouncer's",
}

PREPARED = frozenset({"26000", "42P05"})
"""A prepared statement is missing or exists already: only behind a pooler that poses as the server."""

OF_A_SESSION = frozenset({"default_transaction_read_only"})
"""Settings that a transaction opened READ ONLY does not need."""

_SQLSTATES = {
    "42501": Reason.PERMISSION,
    "57014": Reason.TIMEOUT,
    "55P03": Reason.TIMEOUT,
    "28": Reason.AUTH,
    "08": Reason.UNREACHABLE,
    "57P": Reason.UNREACHABLE,
    "53": Reason.UNREACHABLE,
    "22": Reason.DECODE,
    "54": Reason.TOO_LARGE,
}
_REFUSALS = {"25006": "the transaction is read-only", "42501": "the login has no such right"}
"""Errors that mean that writing is refused, and nothing else."""

_NO_ROLE = re.compile(r'FATAL:\s+role ".*" (does not exist|is not permitted to log in)')
_NO_DATABASE = re.compile(r'FATAL:\s+database ".*" does not exist')

_TYPES = sa.text("""
    WITH RECURSIVE told (name, type) AS (
        SELECT a.attname::text, a.atttypid FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = pg_catalog.to_regclass(:quoted) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT told.name, t.typbasetype FROM told JOIN pg_catalog.pg_type t ON t.oid = told.type
        WHERE t.typtype = 'd')
    SELECT told.name, t.typname::text, CASE t.typcategory WHEN 'A' THEN 'a' ELSE t.typtype::text END,
        n.nspname::text
    FROM told JOIN pg_catalog.pg_type t ON t.oid = told.type
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'd'""")

_COLLATION = sa.text("""
    SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
    WHERE a.attrelid = pg_catalog.to_regclass(:quoted) AND a.attname = :column""")

_UNREADABLE = sa.text(
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:quoted) AND attname = ANY(:wanted) "
    "AND NOT has_column_privilege(attrelid, attnum, 'SELECT')"
)

_USABLE_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'USAGE')"
"""For other schemas, the catalogue lists the names of tables but not their columns."""


class PostgreSql(Dialect):
    """One database of a server."""

    clock = ("SELECT clock_timestamp()", 0.0)
    read_only_words = (("SHOW transaction_read_only", "transaction_read_only"),)

    def __init__(self, address: DatabaseUrl, timeout_s: float) -> None:
        super().__init__(address, timeout_s)
        self._pooled = False
        self._settings = {
            "default_transaction_read_only": "on",
            "statement_timeout": str(int(timeout_s * 1000)),
            "lock_timeout": str(LOCK_TIMEOUT_S * 1000),
            "timezone": "UTC",
            **OUTPUT,
            **address.settings,
        }

    @property
    def pooled(self) -> bool:
        return self._pooled

    # -- connecting

    def connect_args(self) -> dict[str, Any]:
        escaped = {name: value.replace("\\", r"\\") for name, value in self._settings.items()}
        spaced = {name: re.sub(r"(\s)", r"\\\1", value) for name, value in escaped.items()}
        return {
            "application_name": "plumbline-auditor",
            **self.address.parameters,
            "autocommit": True,
            "connect_timeout": max(2, int(self.timeout_s)),
            "options": " ".join(f"-c {name}={value}" for name, value in spaced.items()),
        }

    def connect(self, dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        """Connect, without settings through a pooler."""
        connect = bounded_drivers.postgresql_connection().connect
        if not self._pooled:
            try:
                connection = connect(*arguments, **parameters)
            except dialect.loaded_dbapi.OperationalError as error:
                if not any(part in str(error).lower() for part in OPTIONS_REFUSED):
                    raise
            else:
                if _is_direct(connection):
                    return connection
                connection.close()
            self._pooled = True
        without = {name: value for name, value in parameters.items() if name != "options"}
        return connect(*arguments, **without, prepare_threshold=None)

    def prepare(self, cursor: Any) -> None:
        """Nothing to do: the settings came with the connection."""

    @contextmanager
    def transaction(self, connection: sa.Connection) -> Iterator[None]:
        """Through a pooler, one transaction with its settings; otherwise none."""
        if not self._pooled:
            yield
            return
        settings = {name: value for name, value in self._settings.items() if name not in OF_A_SESSION}
        calls = ", ".join(f"set_config({_text(name)}, {_text(value)}, true)" for name, value in settings.items())
        raw: Any = connection.connection.dbapi_connection
        # Both in one message: the second statement already runs in the transaction.
        raw.execute(f"BEGIN READ ONLY; SELECT {calls}")
        try:
            yield
        except BaseException:
            try:
                raw.execute("ROLLBACK")
            except Exception:
                connection.invalidate()
            raise
        raw.execute("COMMIT")

    # -- failing

    def reason(self, original: BaseException, text: str) -> Reason:
        state = getattr(original, "sqlstate", None)
        if state:
            return next((reason for prefix, reason in _SQLSTATES.items() if state.startswith(prefix)), Reason.QUERY)
        kind, folded = type(original).__name__, text.lower()
        if "DataError" in kind:
            return Reason.DECODE
        if "authentication failed" in folded or "no password supplied" in folded or _NO_ROLE.search(text):
            return Reason.AUTH
        if "does not exist" in folded:
            return Reason.QUERY
        if "timeout" in folded:
            return Reason.TIMEOUT
        return Reason.UNREACHABLE if "OperationalError" in kind else Reason.QUERY

    def is_too_large(self, _reason: Reason, text: str) -> bool:
        return TOO_LARGE_SETTING in text

    def noticed_pooler(self, original: BaseException) -> bool:
        if getattr(original, "sqlstate", None) not in PREPARED:
            return False
        self._pooled = True
        return True

    def hint(self, reason: Reason, original: BaseException, text: str, usual: str) -> str:
        if getattr(original, "sqlstate", None) == "3D000" or _NO_DATABASE.search(text):
            usual = NO_DATABASE
        if reason in {Reason.PERMISSION, Reason.DECODE, Reason.TOO_LARGE}:
            return usual
        advice = next((advice for part, advice in POOLER_SAYS.items() if part in text.lower()), "")
        return advice or (f"{usual}; a pooler stands between".removeprefix("; ") if self._pooled else usual)

    def refusal(self, error: BaseException) -> str:
        code = getattr(error, "sqlstate", None)
        return f"a write is refused: {_REFUSALS[code]} ({code})" if code in _REFUSALS else ""

    # -- the catalogue

    def schemas(self, connection: sa.Connection, inspector: sa.Inspector) -> list[str | None]:
        """A session's search_path may have changed since the first query."""
        default = connection.exec_driver_sql("SELECT current_schema()").scalar() or inspector.default_schema_name
        usable = set(connection.exec_driver_sql(_USABLE_SCHEMAS).scalars())
        others = (each for each in inspector.get_schema_names() if each in usable and each not in OWN_SCHEMAS)
        return [default, *(each for each in others if each != default)]

    def unreadable_columns(
        self, connection: sa.Connection, name: str, schema: str | None, wanted: Sequence[str]
    ) -> list[str]:
        quoted = _quoted(connection, schema, name)
        refused = set(connection.execute(_UNREADABLE, {"quoted": quoted, "wanted": list(wanted)}).scalars())
        return [each for each in wanted if each in refused]

    def native_types(self, connection: sa.Connection, schema: str | None, name: str) -> dict[str, Native]:
        rows = connection.execute(_TYPES, {"quoted": _quoted(connection, schema, name)})
        return {each: Native(name=type_, kind=kind, schema=at) for each, type_, kind, at in rows}

    # -- reading

    def asked(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        if native is UNKNOWN:
            return Asked(column)
        if native.kind == "b" and native.name in DRIVEN and not (key and native.name == "bpchar"):
            if native.name == "bytea":
                return Asked(column, held="bytea")
            return Asked(column, held="text" if native.name in PLAIN_TEXT else None)
        if native.kind in {"a", "c"} or native.name == "hstore":
            # JSON keeps nesting, NULLs and every digit of any elements.
            return Asked(sa.cast(sa.func.pg_catalog.to_json(column), sa.Text), held="text")
        if native.name == "money":
            return Asked(sa.cast(column, sa.Numeric))
        if native.name == "inet":  # its cast to text adds the length of every mask
            return Asked(sa.func.pg_catalog.to_json(column).op("#>>")(sa.literal_column("'{}'")), held="text")
        return Asked(sa.cast(column, sa.Text), Bits if native.name in {"bit", "varbit"} else None, held="text")

    def asked_plainly(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        if native.kind == "b" and native.name in CALENDAR:
            return Asked(sa.cast(column, sa.Text), held="text")
        return self.asked(column, native, key=key)

    def key_column(self, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
        if native is UNKNOWN:
            return _PostgreSqlKey(column, isinstance(column.type, sa.Integer), native, column.type)
        matched: sa.ColumnElement[Any] = column
        whole = native.name in {"int2", "int4", "int8"}
        if not whole and native.name not in {"uuid", "numeric", "bytea", "citext", *PLAIN_TEXT}:
            matched = self.asked(column, native, key=True).column
            if native.name in DRIVEN:
                matched = sa.cast(column, sa.Text)
        return _PostgreSqlKey(matched, whole, native, column.type)

    def caseless_column(
        self,
        connection: sa.Connection,
        table: sa.TableClause,
        column: sa.ColumnClause[Any],
        native: Native,
        written: WritingsOf,
    ) -> KeyColumn:
        """By `lower(column)`, for which people have an index, where that lower-cases ASCII letters as such: under a
        Turkish locale it does not."""
        if native.name == "bytea":
            raise bytes_have_no_case(column)
        if native.name in {"int2", "int4", "int8", "uuid", "numeric"}:
            return self.key_column(column, native)
        plain = native.kind == "b" and native.name in PLAIN_TEXT
        held: sa.ColumnElement[Any] = column if plain else sa.cast(column, sa.Text)
        if native.name == "bpchar":
            held = sa.cast(column, sa.Text)
        lower = sa.func.lower(held)
        quoted = _quoted(connection, table.schema, table.name)
        collation = connection.execute(_COLLATION, {"quoted": quoted, "column": column.name}).scalar()
        of_it = "" if collation is None else f" COLLATE {collation}".replace("%", "%%")
        if connection.exec_driver_sql(f"SELECT lower('{ASCII_LETTERS}'{of_it})").scalar() != ASCII_LETTERS.lower():
            lower = sa.func.lower(sa.collate(held, "C"))
        return self.written_column(lower, native, column.type, written)

    def written_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, writings: WritingsOf
    ) -> KeyColumn:
        return _WrittenText(column, False, native, declared, writings)

    def containing_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, part: Callable[[str], str]
    ) -> KeyColumn:
        return MatchedColumn(column, False, native, declared, part, "~")

    def without(self, column: sa.ColumnClause[Any], signs: str) -> sa.ColumnElement[Any]:
        text = sa.collate(sa.cast(column, sa.Text), "C")
        return sa.func.translate(text, sa.literal_column(f"'{signs}'"), sa.literal_column("''"))

    def last(self, text: sa.ColumnElement[Any], length: int) -> sa.ColumnElement[Any]:
        return sa.func.right(text, sa.literal_column(str(length)))

    def unserved(
        self,
        connection: sa.Connection,
        finder: KeyColumn,
        key: str,
        table: sa.TableClause,
        led: Sequence[str],
        engine: sa.Engine,
    ) -> str | None:
        looked_up = sa.select(sa.literal(1)).select_from(table).where(finder.column == sa.literal("a"))
        if _cost(connection, looked_up, engine) < SCAN_COST_LIMIT:
            return None
        how = finder.column.compile(engine, compile_kwargs={"literal_binds": True, "include_table": False})
        place = _quoted(connection, table.schema, table.name)
        return f"every read scans the table; CREATE INDEX CONCURRENTLY ON {place} ({how})"

    def cut(
        self, _held: sa.ColumnElement[Any], native: Native, column: sa.ColumnElement[Any], length: int
    ) -> sa.ColumnElement[Any]:
        return sa.func.substr(column, 1, length) if native.name in TEXTS else column

    def statement(self, build: Build, columns: Sequence[Asked]) -> sa.Select[Any]:
        """The statement, which fails at the first oversized row.

        The driver reads a whole row in one step, during which bytes cannot be counted.
        """
        if not any(each.held for each in columns):
            return super().statement(build, columns)
        # OFFSET prevents a view's values from being computed again for their length.
        inner = build([each.column.label(f"c{at}") for at, each in enumerate(columns)]).offset(0).subquery()
        selected = list(inner.c)
        types = {at: each.held for at, each in enumerate(columns) if each.held}
        length: sa.ColumnElement[int] = sa.literal_column("0")
        for at in types:
            length = length + sa.func.coalesce(sa.func.octet_length(selected[at]), 0)
        at, type_ = next(iter(types.items()))
        failure: sa.ColumnElement[Any] = sa.func.current_setting(TOO_LARGE_SETTING)
        if type_ == "bytea":
            failure = sa.func.convert_to(failure, "UTF8")
        selected[at] = sa.case((length > ROWS_LIMIT_BYTES, failure), else_=selected[at])  # type: ignore[call-overload]
        return sa.select(*selected)

    def fetched(self, cursor: Any) -> list[Row]:
        becomes(max(0, cursor.rowcount) * len(cursor.description or ()) * VALUE_BYTES, beside=True)
        return super().fetched(cursor)

    # -- ranks

    def rank_text(self, column: str, native: Native) -> str:
        """As read: an inet without a host's mask."""
        return f"pg_catalog.abbrev({column})" if native.name == "inet" else column

    def ranks_by_index(self, connection: sa.Connection, ranked: sa.Select[Any], engine: sa.Engine) -> bool:
        return _cost(connection, ranked, engine) < RANK_COST_LIMIT

    def rank_index(self, table: str, rank: str) -> str | None:
        return f"CREATE INDEX CONCURRENTLY ON {table} ({rank})"


class _Named(sa.types.UserDefinedType[Any]):
    """A type by its SQL name, without a length that would cut values cast to it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class _PostgreSqlKey(KeyColumn):
    """Keys in a column of PostgreSQL, which are bound as one array."""

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        array = postgresql.ARRAY(self._cast)
        return self.column == sa.any_(sa.cast(sa.bindparam(f"keys{at}", type_=sa.types.NullType()), array))

    def behind(self, at: str = "") -> sa.ColumnElement[bool]:
        return self.column > sa.cast(sa.bindparam(f"after{at}", type_=sa.types.NullType()), self._cast)

    @property
    def _cast(self) -> sa.types.TypeEngine[Any]:
        if self.whole:
            return sa.BigInteger()
        if self.native.name in {"numeric", "uuid", "bytea", "citext", "bpchar"}:
            return _Named(f'"{self.native.schema}"."{self.native.name}"')
        return sa.Text()

    def held(self, keys: Sequence[Key]) -> list[Any]:
        as_held = {"uuid": uuid_key, "numeric": decimal_key, "bytea": binary_key}.get(self.native.name)
        if as_held is not None:
            return [converted for key in keys if (converted := as_held(key)) is not None]
        return super().held([key for key in keys if "\0" not in str(key)])


class _WrittenText(WrittenColumn):
    """Writings of keys, which are bound as one array."""

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        array = postgresql.ARRAY(sa.Text())
        return self.column == sa.any_(sa.cast(sa.bindparam(f"keys{at}", type_=sa.types.NullType()), array))

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        return [text for text in WrittenColumn.bind(self, keys) if "\0" not in text]


def _cost(connection: sa.Connection, statement: sa.Select[Any], engine: sa.Engine) -> float:
    """What the planner takes a statement to cost."""
    priced = statement.compile(engine, compile_kwargs={"literal_binds": True})
    planned = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {priced}").scalar_one()
    return float(planned[0]["Plan"]["Total Cost"])


def _is_direct(connection: Any) -> bool:
    """Whether the connection goes directly to the server, which has applied the settings.

    A pooler makes up the process id that it gives its clients.
    """
    answer = connection.execute("SELECT pg_backend_pid(), current_setting('default_transaction_read_only')")
    return bool(answer.fetchone() == (connection.info.backend_pid, "on"))


def _quoted(connection: sa.Connection, schema: str | None, name: str) -> str:
    return connection.dialect.identifier_preparer.format_table(sa.table(name, schema=schema))


def _text(value: str) -> str:
    """A text literal, under standard_conforming_strings."""
    return "'" + value.replace("'", "''") + "'"
