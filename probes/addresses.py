"""Addresses that contain a login, as people paste them: `scheme://USER:PASSWORD@HOST/PATH?QUERY`.

Drivers read a password with a reserved character in different ways, and then take parts of it for a host or a
database, which no driver keeps secret. So an ambiguous address is refused, in words that repeat nothing of it.
Source: RFC 3986, sections 2.1 (percent-encoding) and 3.2 (authority).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote

QUOTED = {"@": "%40", "/": "%2F", "?": "%3F", "#": "%23", "[": "%5B", "]": "%5D", " ": "%20", "\\": "%5C"}
"""Characters that end a login, or make drivers disagree about where it ends."""

NAMES = {" ": "a space"}

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY_END = re.compile(r"[/?#]")
_PORT = re.compile(r"(?:[^:\[\]]*|\[[^\]]*\])(?::\d*)?")


@dataclass(frozen=True, slots=True)
class Login:
    """The secrets in an address, decoded; empty if it has none.

    Attributes:
        raw: the user-info as written.
        parameters: secrets in the query.
        host, database: the plain parts.
        scheme: the part before them, in lower case.
    """

    user: str = ""
    password: str = ""
    raw: str = ""
    parameters: tuple[str, ...] = field(default=())
    host: str = ""
    database: str = ""
    scheme: str = ""


SECRET_PARAMETER = re.compile(r"pass(word|wd)?$|secret|token|api_?key|^key$|^sig(nature)?$|auth", re.IGNORECASE)


WEB = ("http", "https")
"""Schemes of web addresses."""

BEGINNINGS = ("postgresql://", "mariadb://", "mysql://", "mongodb://", "sqlite:///")
"""How addresses of databases begin."""


def check_address(text: str, *, login: bool = True, schemes: Collection[str] = ()) -> str:
    """Check that every driver reads an address the same way.

    Args:
        login: an address of a database or broker, with an `@` only before the host; false for a web address, which
            may have others in its path.
        schemes: the accepted ones, in lower case; empty for any.

    Raises:
        ValueError: it is ambiguous or of another scheme; says how to write it, and quotes nothing of it.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        beginning = " or ".join(f"{each}://" for each in schemes) or "a scheme, such as https:// or postgresql://"
        raise ValueError(f"not a URL; it begins with {beginning}")
    if schemes and scheme.lower() not in schemes:
        raise ValueError(f"the URL must begin with {' or '.join(f'{each}://' for each in schemes)}")
    if any(not sign.isprintable() for sign in text):
        raise ValueError("the URL contains a line break or another control character")
    end = _AUTHORITY_END.search(rest)
    authority, behind = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    info, at, host = authority.rpartition("@")
    odd = {sign for sign in QUOTED if sign in info}
    if "@" in behind and (login or ":" in authority or at):
        odd |= {sign for sign in QUOTED if sign in rest.rpartition("@")[0]} | ({"@"} if at or not login else set())
    if odd:
        codes = ", ".join(f"{NAMES.get(sign, sign)} as {code}" for sign, code in QUOTED.items() if sign in odd)
        raise ValueError(f"reserved characters in a URL's user or password must be percent-encoded: write {codes}")
    if _BAD_PERCENT.search(info):
        raise ValueError("a % in a URL's user or password must be percent-encoded: write % as %25")
    if not _PORT.fullmatch(host) and "," not in host:
        raise ValueError(
            "cannot read the URL's host and port; in a user or password write : as %3A, / as %2F, ? as %3F, # as %23"
        )
    for port in re.findall(r"(?<=:)\d+(?=,|$)", re.sub(r"\[[^\]]*\]", "", host)):
        if not 1 <= int(port[:9]) <= 65535:
            raise ValueError(f"the URL's port {port[:9]} is not between 1 and 65535")
    return text


def login_of(text: str) -> Login:
    """The secrets of an address in any form; for a malformed one everything before its last `@`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Login()
    end = _AUTHORITY_END.search(rest)
    authority, behind = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    query = behind.partition("?")[2].partition("#")[0]
    parameters = tuple(value for name, value in parse_qsl(query) if SECRET_PARAMETER.search(name))
    try:
        check_address(text, login=False)
        info, _, host = authority.rpartition("@")
        database = unquote(behind.partition("?")[0].strip("/"))
    except ValueError:
        info, _, host = rest.rpartition("@")
        database = ""
    user, _, password = info.partition(":")
    return Login(
        user=unquote(user),
        password=unquote(password),
        raw=info,
        parameters=parameters,
        host=host.partition(":")[0],
        database=database,
        scheme=scheme.strip().lower(),
    )


def check_segment(name: str) -> str:
    """The name itself, if it can be one segment of an address's path.

    Raises:
        ValueError: it is empty, or clients treat it as a step up, however it is encoded.
    """
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} cannot be asked for: in an address's path it stands for another place")
    return name


def plain_address(parts: SplitResult) -> str:
    """An address without its possible secrets, the login and the query."""
    host = parts.hostname or ""
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
