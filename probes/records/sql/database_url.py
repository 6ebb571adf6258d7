"""A database's URL: which dialect it names, and its parameters for the driver and the session.

Every parameter is honoured or refused by name; none is overridden silently. The auditor itself makes the session
read-only and limits its time, and nothing in a URL changes that.
Source: postgresql.org/docs/15/libpq-connect.html (parameter key words), PyMySQL's `Connection`,
sqlite.org/uri.html.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote

from probes.addresses import BEGINNINGS, WEB, check_address
from probes.ranking import Dialect
from probes.wording import listed

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How to connect to the databases of a dialect, and the modules that read them.

    Attributes:
        reader: module and class of its `Dialect`, loaded on connecting.
        drivername: SQLAlchemy's name of dialect and driver.
        module: the driver.
        extra: the extra that installs it with this product.
    """

    reader: str
    drivername: str
    module: str
    extra: str


DIALECTS: Mapping[str, Reached] = {
    "postgresql": Reached(
        reader="probes.records.sql.dialects.postgresql:PostgreSql",
        drivername="postgresql+psycopg",
        module="psycopg",
        extra="postgresql",
    ),
    "mariadb": Reached(
        reader="probes.records.sql.dialects.mysql:MariaDb",
        drivername="mariadb+pymysql",
        module="pymysql",
        extra="mariadb",
    ),
    "mysql": Reached(
        reader="probes.records.sql.dialects.mysql:MySql",
        drivername="mysql+pymysql",
        module="pymysql",
        extra="mysql",
    ),
    "sqlite": Reached(
        reader="probes.records.sql.dialects.sqlite:Sqlite",
        drivername="sqlite",
        module="sqlite3",
        extra="sqlite",
    ),
}


_URL = re.compile(
    r"""(?P<dialect>\w+)(?:\+\w+)*://
        (?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?
        (?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[0-9]+))?
        (?:/(?P<database>[^?]*))?
        (?:\?(?P<query>.*))?""",
    re.VERBOSE | re.DOTALL,
)
"""The form of SQLAlchemy's URLs (docs.sqlalchemy.org, "Database URLs"), whose own parser loads all of SQLAlchemy."""

SYSTEMS = frozenset({"unix", "unix-none", "win32", "win32-longpath", "win32-none"})
"""SQLite VFSs that create no files; `unix-dotfile` creates a lock, others do not access files at all."""

_BUDGET = "the deadline is budget.timeout of the system"
_VALUES = "the auditor reads values in one form"

HONOURED: dict[str, str] = {
    "postgresql": """host hostaddr port user password dbname passfile service application_name
        fallback_application_name sslmode sslcert sslkey sslpassword sslrootcert sslcrl sslcrldir sslsni
        sslcompression requiressl requirepeer ssl_min_protocol_version ssl_max_protocol_version channel_binding
        gssencmode krbsrvname gsslib gssdelegation require_auth target_session_attrs load_balance_hosts keepalives
        keepalives_idle keepalives_interval keepalives_count tcp_user_timeout options""",
    **dict.fromkeys(
        ("mariadb", "mysql"),
        """unix_socket bind_address program_name max_allowed_packet read_default_file read_default_group charset
        ssl_disabled ssl_ca ssl_capath ssl_cert ssl_key ssl_key_password ssl_cipher ssl_verify_cert
        ssl_verify_identity ssl_check_hostname""",
    ),
    "sqlite": "mode cache immutable nolock psow vfs uri",
}
"""By dialect, the parameters of a URL that are passed on."""

_TLS = {
    "ssl_ca": "ca",
    "ssl_capath": "capath",
    "ssl_cert": "cert",
    "ssl_key": "key",
    "ssl_key_password": "password",
    "ssl_cipher": "cipher",
    "ssl_verify_cert": "verify_mode",
    "ssl_verify_identity": "check_hostname",
    "ssl_check_hostname": "check_hostname",
}
"""PyMySQL reads these parameters from a mapping; passed one by one they would replace each other."""
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_REFUSED = {
    "connect_timeout": _BUDGET,
    "read_timeout": _BUDGET,
    "write_timeout": _BUDGET,
    "timeout": _BUDGET,
    "init_command": "the session is read-only from its first statement on",
    "sql_mode": _VALUES,
    "client_encoding": _VALUES,
    "use_unicode": _VALUES,
    "local_infile": "the session only reads",
    "autocommit": "every statement stands alone",
}

OWN_SETTINGS: dict[str, tuple[frozenset[str], str]] = {
    "default_transaction_read_only": (frozenset({"on", "true", "yes", "1"}), "the session is always read-only"),
    "transaction_read_only": (frozenset({"on", "true", "yes", "1"}), "the session is always read-only"),
    "statement_timeout": (frozenset(), _BUDGET),
    "lock_timeout": (frozenset(), "the auditor gives way to locks by itself"),
    "timezone": (frozenset({"utc", "etc/utc"}), "the session speaks UTC; a system's own zone is zone:"),
    "client_encoding": (frozenset({"utf8", "utf-8", "unicode"}), _VALUES),
    **dict.fromkeys(
        ("datestyle", "intervalstyle", "bytea_output", "extra_float_digits", "standard_conforming_strings"),
        (frozenset[str](), _VALUES),
    ),
}
"""PostgreSQL session settings reserved for the auditor: the values that change nothing, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """A parsed database URL.

    Attributes:
        user, password, host, port, database: decoded; None if the URL has none.
        places: hosts and ports among the parameters, which SQLAlchemy itself takes apart.
        parameters: for the driver.
        settings: of a PostgreSQL session, out of `options`, in their order.
    """

    dialect: Dialect
    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str | None
    places: Mapping[str, str | tuple[str, ...]]
    parameters: Mapping[str, Any] = field(repr=False)
    settings: Mapping[str, str]

    @property
    def url(self) -> sa.URL:
        """The URL for SQLAlchemy, with the driver, and without parameters except hosts."""
        from sqlalchemy import URL  # only to connect: reading a map does not need it

        return URL.create(
            DIALECTS[self.dialect].drivername,
            username=self.user,
            password=self.password,
            host=self.host,
            port=self.port,
            database=self.database,
            query=self.places,
        )


def read_url(text: str) -> DatabaseUrl:
    """Read a database's URL.

    Raises:
        ValueError: it is ambiguous, or has unsupported parameters; quotes no value.
    """
    parts = _URL.fullmatch(canonical(text))
    if parts is None:
        raise ValueError("not a database URL; write for example postgresql://USER:PASSWORD@HOST/DATABASE")
    dialect = parts["dialect"]
    if dialect in WEB:
        raise ValueError(f"this is a web address, not a database's, which begins with {listed(BEGINNINGS)}")
    if dialect not in DIALECTS:
        raise ValueError(f"no SQL probe for {dialect!r}; known: {', '.join(DIALECTS)}")
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts["query"] or ""):
        query.setdefault(name, []).append(value)
    for name in query:
        _check_parameter(dialect, name)
    user, password, database = (
        None if parts[part] is None else unquote(parts[part]) for part in ("user", "password", "database")
    )
    parameters: dict[str, Any] = {name: " ".join(values) for name, values in query.items()}
    places: dict[str, Any] = {}
    settings: dict[str, str] = {}
    if dialect == "postgresql":
        settings = _settings(parameters.pop("options", ""))
        for name in ("host", "port"):
            if parameters.pop(name, None) is not None:
                places[name] = query[name][0] if len(query[name]) == 1 else tuple(query[name])
    elif dialect == "sqlite":
        if parts["host"] or user:
            raise ValueError("a SQLite URL has three slashes before the file, and four before a whole path")
        _check_sqlite(parameters)
        sqlite_file(database or "")
    else:
        parameters = _for_pymysql(parameters)
    return DatabaseUrl(
        dialect=cast(Dialect, dialect),
        user=user,
        password=password,
        host=parts["ipv6"] or parts["host"],
        port=int(parts["port"]) if parts["port"] else None,
        database=database,
        places=places,
        parameters=parameters,
        settings=settings,
    )


def canonical(text: str) -> str:
    """A URL in SQLAlchemy's form: `postgres://` is PostgreSQL's, too. Raises ValueError as `check_address` does."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.partition("+")[0] == "postgres":
        text = f"postgresql{scheme.removeprefix('postgres')}://{rest}"
    return text if text.startswith("sqlite:") else check_address(text)


def _check_parameter(dialect: str, name: str) -> None:
    honoured = HONOURED[dialect].split()
    if name in honoured:
        return
    if name in _REFUSED:
        raise ValueError(f"the URL's parameter {name} is not honoured: {_REFUSED[name]}")
    close = difflib.get_close_matches(name, honoured, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(honoured)}"
    raise ValueError(f"unknown parameter {name!r} in the URL of a {dialect} system; {hint}")


def _check_sqlite(parameters: Mapping[str, str]) -> None:
    if parameters.get("mode", "ro") != "ro":
        raise ValueError("the URL's parameter mode is not honoured: a SQLite file is only opened with mode=ro")
    if parameters.get("vfs", "unix") not in SYSTEMS:
        raise ValueError(f"the URL's parameter vfs is not honoured but for {', '.join(sorted(SYSTEMS))}")
    if parameters.get("cache", "private") not in {"private", "shared"}:
        raise ValueError("the URL's parameter cache is private or shared")


def _for_pymysql(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Parameters in the types that PyMySQL wants."""
    if parameters.get("charset", "utf8mb4") != "utf8mb4":
        raise ValueError(
            "the URL's parameter charset is not honoured: the session speaks utf8mb4, which holds all text"
        )
    arguments: dict[str, Any] = {"charset": "utf8mb4"}
    tls: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in {"ssl_disabled", "ssl_verify_identity", "ssl_check_hostname"}:
            if value.lower() not in _FLAGS:
                raise ValueError(f"the URL's parameter {name} is true or false")
            arguments[name] = _FLAGS[value.lower()]
        elif name == "max_allowed_packet":
            if not value.isdecimal():
                raise ValueError(f"the URL's parameter {name} is a number of bytes")
            arguments[name] = int(value)
        else:
            arguments[name] = value
    for name, word in _TLS.items():
        if name in arguments:
            tls[word] = arguments.pop(name)
    if tls and not arguments.get("ssl_disabled"):
        arguments["ssl"] = tls
    return arguments


def _settings(options: str) -> dict[str, str]:
    """Settings from libpq's `options`, which are switches of the server's command line: `-c NAME=VALUE`."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|[^\\\s])+", options)]
    settings: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word = f"-c{words.pop(0)}"
        match = re.fullmatch(r"(?:-c|--)([A-Za-z_][\w.-]*)=(.*)", word, re.DOTALL)
        if match is None:
            raise ValueError("options in the URL: only -c NAME=VALUE (or --NAME=VALUE) is honoured")
        name, value = match[1].replace("-", "_").lower(), match[2]
        harmless, why = OWN_SETTINGS.get(name, (None, ""))
        if harmless is not None and value.lower() not in harmless:
            raise ValueError(f"options in the URL: {name} is not honoured: {why}")
        if harmless is None:
            settings[name] = value
    return settings


def sqlite_file(database: str) -> Path:
    """The file that a SQLite URL names.

    Args:
        database: the part after `sqlite:///`, decoded. Every character belongs to the name, including those that
            SQLite would take for a parameter or drop after a `#`.

    Raises:
        ValueError: it does not name a file, or is ambiguous.
    """
    path = database
    if database.startswith("file:"):
        path = database.removeprefix("file:")
        if path.startswith("//"):
            host, slash, rest = path.removeprefix("//").partition("/")
            if host not in {"", "localhost"}:
                raise ValueError("a file: address has three slashes and then the path: file:///FOLDER/FILE")
            path = slash + rest
    if "\0" in path:
        raise ValueError("a file's name holds no NUL")
    if path in {"", ":memory:"}:
        raise ValueError("the URL names no file; write sqlite:///FILE, or sqlite:////FOLDER/FILE for a whole path")
    return Path(path).absolute()
