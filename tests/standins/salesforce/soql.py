"""SOQL: text to a statement. What is not in the subset is refused in words of the stand-in's own.

Source: SOQL and SOSL Reference (v66.0, January 2026): "SOQL SELECT Syntax", "Condition Expression Syntax (WHERE
Clause)", "Comparison Operators", "Quoted String Escape Sequences", "Date Formats and Date Literals in WHERE",
"ORDER BY", "LIMIT", "OFFSET", "COUNT()", "FIELDS()". Limits: "SOQL and SOSL Limits for Search Queries".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NoReturn

from tests.standins.salesforce.errors import ApiError, unsupported

LONGEST = 100_000
LONGEST_STRING = 4_000
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<word>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*(?::\d+)?)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),])",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_RANGES = re.compile(
    r"(YESTERDAY|TODAY|TOMORROW|(LAST|THIS|NEXT)_(WEEK|MONTH|YEAR)|LAST_90_DAYS|NEXT_90_DAYS"
    r"|(LAST|NEXT)_N_(DAYS|WEEKS|MONTHS|YEARS):\d+|N_DAYS_AGO:\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DateRange:
    """A date literal such as LAST_N_DAYS:3, in capitals."""

    name: str


@dataclass(frozen=True)
class Pattern:
    """What stands behind LIKE: parts of plain text, and the wildcards % and _ between them."""

    parts: tuple[tuple[str, bool], ...]


Value = str | Decimal | bool | date | datetime | DateRange | Pattern | None


@dataclass(frozen=True)
class Comparison:
    """A field, an operator in capitals and what it is compared with; `at` is where the field stands."""

    field: str
    operator: str
    values: tuple[Value, ...]
    at: int


@dataclass(frozen=True)
class Not:
    """The opposite."""

    condition: Condition


@dataclass(frozen=True)
class AllOf:
    """Conditions joined by AND."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """Conditions joined by OR."""

    conditions: tuple[Condition, ...]


Condition = Comparison | Not | AllOf | AnyOf


@dataclass(frozen=True, kw_only=True)
class Order:
    """One field of ORDER BY."""

    field: str
    descending: bool = False
    nulls_last: bool = False
    at: int = 0


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A query."""

    text: str
    fields: tuple[tuple[str, int], ...]
    count: bool
    from_object: str
    from_at: int
    alias: str | None
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int


def error(text: str, at: int, message: str, code: str = "MALFORMED_QUERY") -> ApiError:
    """An error as the vendor words it: the text about the place, a mark, row and column, and what is wrong."""
    row = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    shown = text[max(start, at - 25) : at + 25].split("\n", maxsplit=1)[0]
    mark = " " * min(25, at - start) + "^"
    return ApiError(400, code, f"\n{shown}\n{mark}\nERROR at Row:{row}:Column:{at - start + 1}\n{message}")


def parse(text: str) -> Statement:
    """Read a query.

    Raises:
        ApiError: MALFORMED_QUERY, or the stand-in does not know the construct.
    """
    if len(text) > LONGEST:
        raise ApiError(400, "MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST} characters.")
    return _Parser(text).statement()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                if text[at] == ":":
                    raise error(text, at, "Bind variables only allowed in Apex code")
                raise error(text, at, f"unexpected token: '{text[at]}'")
            if found.lastgroup != "space":
                self._tokens.append((found.lastgroup or "", found.group(), at))
            at = found.end()
        self._next = 0

    # the tokens

    def _peek(self, ahead: int = 0) -> tuple[str, str, int]:
        at = self._next + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "<EOF>", len(self._text))

    def _fail(self) -> NoReturn:
        kind, token, at = self._peek()
        if kind == "end":
            raise error(self._text, at, "unexpected end of query" if self._tokens else "unexpected token: <EOF>")
        raise error(self._text, at, f"unexpected token: '{token}'")

    def _is(self, *words: str, ahead: int = 0) -> bool:
        kind, token, _ = self._peek(ahead)
        return kind in {"word", "sign"} and token.upper() in words

    def _take(self, *words: str) -> str:
        if not self._is(*words):
            self._fail()
        self._next += 1
        return self._tokens[self._next - 1][1].upper()

    def _maybe(self, *words: str) -> bool:
        if self._is(*words):
            self._next += 1
            return True
        return False

    def _of(self, kind: str) -> tuple[str, int]:
        found, token, at = self._peek()
        if found != kind:
            self._fail()
        self._next += 1
        return token, at

    def _whole_number(self) -> int:
        token, at = self._of("number")
        if not token.isdigit():
            raise error(self._text, at, f"unexpected token: '{token}'")
        return int(token)

    # the grammar

    def statement(self) -> Statement:
        self._take("SELECT")
        count, fields = False, []
        if self._is("COUNT") and self._is("(", ahead=1) and self._is(")", ahead=2):
            self._next += 3
            count = True
        else:
            fields = [self._selected()]
            while self._maybe(","):
                fields.append(self._selected())
        self._take("FROM")
        name, at = self._of("word")
        alias = None
        if self._peek()[0] == "word" and not self._is("WHERE", "ORDER", "LIMIT", "OFFSET", "ALL", "FOR", "USING",
                                                      "WITH", "GROUP"):  # fmt: skip
            self._maybe("AS")
            alias = self._of("word")[0]
        if self._is(","):
            raise unsupported("several objects in FROM")
        where = self._condition() if self._maybe("WHERE") else None
        order: list[Order] = []
        if self._is("GROUP", "FOR", "USING", "WITH"):
            raise unsupported(self._peek()[1].upper())
        if self._maybe("ORDER"):
            self._take("BY")
            order.append(self._order())
            while self._maybe(","):
                order.append(self._order())
        limit = self._whole_number() if self._maybe("LIMIT") else None
        offset = self._whole_number() if self._maybe("OFFSET") else 0
        if self._peek()[0] != "end":
            self._fail()
        return Statement(text=self._text, fields=tuple(fields), count=count, from_object=name, from_at=at,
                         alias=alias, where=where, order=tuple(order), limit=limit, offset=offset)  # fmt: skip

    def _selected(self) -> tuple[str, int]:
        if self._is("("):
            raise unsupported("subqueries")
        if self._is("FROM"):
            self._fail()
        name, at = self._of("word")
        if self._is("("):
            if name.upper() != "FIELDS":
                raise unsupported(f"{name}()")
            self._take("(")
            which = self._take("ALL", "STANDARD", "CUSTOM")
            self._take(")")
            return f"FIELDS({which})", at
        if self._peek()[0] == "word" and not self._is("FROM"):
            raise unsupported("aliases of fields")
        return name, at

    def _order(self) -> Order:
        name, at = self._of("word")
        descending = self._take("ASC", "DESC") == "DESC" if self._is("ASC", "DESC") else False
        last = False
        if self._maybe("NULLS"):
            last = self._take("FIRST", "LAST") == "LAST"
        return Order(field=name, descending=descending, nulls_last=last, at=at)

    def _condition(self) -> Condition:
        first = self._simple()
        word = next((each for each in ("AND", "OR") if self._is(each)), None)
        if word is None:
            return first
        conditions = [first]
        while self._maybe(word):
            conditions.append(self._simple())
        if self._is("AND", "OR"):  # mixed operators need parentheses
            self._fail()
        return AllOf(tuple(conditions)) if word == "AND" else AnyOf(tuple(conditions))

    def _simple(self) -> Condition:
        if self._maybe("NOT"):
            return Not(self._simple())
        if self._maybe("("):
            inner = self._condition()
            self._take(")")
            return inner
        name, at = self._of("word")
        if self._is("("):
            raise unsupported(f"{name}() in WHERE")
        if self._maybe("NOT"):
            self._take("IN")
            return Comparison(name, "NOT IN", self._list(), at)
        operator = self._take("=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "IN", "INCLUDES", "EXCLUDES")
        if operator in {"IN", "INCLUDES", "EXCLUDES"}:
            return Comparison(name, operator, self._list(), at)
        value = self._value(like=operator == "LIKE")
        return Comparison(name, "!=" if operator == "<>" else operator, (value,), at)

    def _list(self) -> tuple[Value, ...]:
        self._take("(")
        if self._is("SELECT"):
            raise unsupported("semi-joins")
        values = [self._value()]
        while self._maybe(","):
            values.append(self._value())
        self._take(")")
        return tuple(values)

    def _value(self, *, like: bool = False) -> Value:
        kind, token, at = self._peek()
        upper = token.upper()
        if kind == "string":
            self._next += 1
            return self._unescaped(token[1:-1], at, like=like)
        if kind == "number":
            self._next += 1
            return Decimal(token)
        if kind in {"date", "datetime"}:
            self._next += 1
            try:
                if kind == "date":
                    return date.fromisoformat(token)
                return datetime.fromisoformat(token).astimezone(UTC)
            except ValueError:
                raise error(self._text, at, f"Invalid {kind}: {token}") from None
        if kind == "word" and (upper in {"TRUE", "FALSE", "NULL"} or _RANGES.fullmatch(upper)):
            self._next += 1
            return {"TRUE": True, "FALSE": False, "NULL": None}.get(upper, DateRange(upper))
        return self._fail()

    def _unescaped(self, text: str, at: int, *, like: bool) -> str | Pattern:
        plain: list[tuple[str, bool]] = []
        position = 0
        while position < len(text):
            character = text[position]
            position += 1
            if character != "\\":
                plain.append((character, like and character in "%_"))
                continue
            escaped = text[position]
            position += 1
            if escaped == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", text[position : position + 4]):
                plain.append((chr(int(text[position : position + 4], 16)), False))
                position += 4
            elif like and escaped in "%_":
                plain.append((escaped, False))
            elif escaped.lower() in _ESCAPES:
                plain.append((_ESCAPES[escaped.lower()], False))
            else:
                message = f"Illegal string literal: invalid escape sequence '\\{escaped}'"
                raise error(self._text, at, message)
        if len(plain) > LONGEST_STRING:
            raise error(self._text, at, f"a string is longer than {LONGEST_STRING} characters")
        return Pattern(tuple(plain)) if like else "".join(character for character, _ in plain)
