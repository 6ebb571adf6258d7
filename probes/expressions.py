"""Expressions of the map in the Common Expression Language: rules of records, and computed fields.

The language has no loops without bounds, no files, no clock and no side effects. Its functions for text that the
specification leaves to each implementation are those of `FUNCTIONS`.
Source: the CEL specification, github.com/google/cel-spec.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NoReturn
from uuid import UUID

from probes.contract import MISSING
from probes.exact_json import Undecodable
from probes.wording import counted, did_you_mean

LONGEST = 1_000
"""Most characters of the expression of a computed field."""

TEXT_LIMIT = 100_000
"""Most characters and items of lists that one expression is given for one record, and that it may return."""

EXACT_DIGITS = 15
"""So many significant digits of a decimal number survive in the floating-point numbers of CEL."""

_FAILED = re.compile(r"(INVALID_ARGUMENT|UNKNOWN|NOT_FOUND|OUT_OF_RANGE|INTERNAL): ")
_WORD = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_NUL = re.compile(r"\0|\\(?:0|x00|u0000|U00000000)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_OVERLOADS = re.compile(r"No matching overloads found : [\w@!=<>+*/%\[\]?.:&|-]+\([\w, ()<>]*\)")
_SYNTAX = re.compile(r"(at \d+:\d+): Syntax error: (.*)")
_BEFORE = re.compile(r"(?:mismatched|extraneous|no viable alternative at) input '(.*?)'(?: expecting .*)?")


class ExpressionError(ValueError):
    """An expression that is not valid, or has no value for a record; the text quotes no value."""


# -- functions


def _replaced(text: str, old: str, new: str) -> str:
    if not old:
        raise ValueError("replace() of an empty text")
    if len(text) + text.count(old) * (len(new) - len(old)) > TEXT_LIMIT:
        raise ValueError(f"replace() makes a text of more than {TEXT_LIMIT:,} characters")
    return text.replace(old, new)


def _split(text: str, separator: str) -> list[str]:
    if not separator:
        raise ValueError("split() at an empty text")
    return text.split(separator)


FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "lower": (1, str.lower),
    "upper": (1, str.upper),
    "trim": (1, str.strip),
    "digits": (1, lambda text: "".join(each for each in text if each in "0123456789")),
    "replace": (3, _replaced),
    "split": (2, _split),
}
"""By name, how many texts a function takes, and what it does."""

STANDARD = ("bool", "contains", "double", "duration", "endsWith", "has", "int", "matches", "size", "startsWith")
STANDARD_TOO = ("string", "timestamp", "exists", "all", "map", "filter", "getFullYear", "getMonth", "getDate")
"""Frequent functions of the language itself, for corrections of names."""


def environment(variables: Mapping[str, Any]) -> Any:
    """What expressions are compiled in: these variables by their types, and `FUNCTIONS`."""
    # 24 MB of memory that only a map with expressions should cost.
    from cel_expr_python import cel

    text = cel.Type.STRING
    functions = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(
                    f"{name}_text",
                    return_type=cel.Type.List(text) if name == "split" else text,
                    parameters=[text] * count,
                    impl=function,
                )
            ],
        )
        for name, (count, function) in FUNCTIONS.items()
    ]
    return cel.NewEnv(variables=dict(variables), functions=functions)


# -- what a text names


def words_of(text: str) -> frozenset[str]:
    """Every word of an expression outside its texts in quotes."""
    return frozenset(_WORD.findall(_LITERAL.sub("", text)))


def undeclared(message: str) -> list[str]:
    """The names in a message of the compiler that stand for nothing."""
    return list(dict.fromkeys(_UNDECLARED.findall(message)))


def _is_called(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\s*\(", _LITERAL.sub("", text)) is not None


# -- computed fields


class Expression:
    """An expression over the fields of one system's record, compiled once.

    A record without a value for one of them has none for the expression, unless the expression mentions `null`.

    Args:
        text: the expression. A name in it is a field of the system, unless `names` gives it another one.
        names: by name in the expression, a field of the system.

    Attributes:
        fields: the fields that it reads, in the order in which `value` takes their values.

    Raises:
        ExpressionError: it is not valid; the message says where and why.
    """

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        if len(text) > LONGEST:
            raise ExpressionError(f"an expression of more than {LONGEST:,} characters")
        if _NUL.search(text):
            raise ExpressionError("a NUL character, which an expression cannot write")
        self.text = text
        self._program, self._variables = _compiled(text, names)
        unused = [each for each in names if each not in self._variables]
        if unused:
            raise ExpressionError(
                f"from: names {unused[0]!r}, which the expression does not use"
                + did_you_mean(unused[0], self._variables)
            )
        if not self._variables:
            raise ExpressionError("it reads no field of the record, so it would be the same in every record")
        self.fields = tuple(names.get(each, each) for each in self._variables)
        self._of_null = "null" in words_of(text)

    def value(self, values: Sequence[Any]) -> Any:
        """The value for one record: what a driver could have returned, NULL as None and a missing field as MISSING.

        Args:
            values: raw, one for each of `fields`.

        Raises:
            ExpressionError: it has none.
        """
        if not self._of_null:
            if any(each is MISSING for each in values):
                return MISSING
            if any(each is None for each in values):
                return None
        room = _Room()
        try:
            given = {name: room.given(raw) for name, raw in zip(self._variables, values, strict=True)}
            return _Room().held(evaluated(self._program, given))
        except RecursionError:
            raise ExpressionError("a value nested too deeply") from None


def _compiled(text: str, named: Container[str]) -> tuple[Any, tuple[str, ...]]:
    """A program, and the names in it that stand for fields: those that the compiler does not know.

    Args:
        named: names of which a part may follow after a dot; any other name with dots is one field.
    """
    from cel_expr_python import cel

    names: list[str] = []
    while True:
        try:
            program = environment(dict.fromkeys(names, cel.Type.DYN)).compile(text)
        except (RuntimeError, TypeError) as error:
            unknown = undeclared(str(error))
            called = [each for each in unknown if _is_called(each, text)]
            if called:
                if called[0] in FUNCTIONS:
                    raise ExpressionError(f"{called[0]}() takes {counted(FUNCTIONS[called[0]][0], 'text')}") from None
                known = (*FUNCTIONS, *STANDARD, *STANDARD_TOO)
                raise ExpressionError(f"unknown function {called[0]}()" + did_you_mean(called[0], known)) from None
            roots = [root if (root := each.partition(".")[0]) in named else each for each in unknown]
            fresh = [each for each in dict.fromkeys(roots) if each not in names]
            if not fresh:
                raise ExpressionError(said(error)) from None
            names += fresh
            continue
        type_ = str(program.return_type())
        if type_ in {"NULL", "TYPE", "type"}:
            raise ExpressionError(f"its value is of type {type_}, which no field has")
        return program, tuple(names)


@lru_cache(maxsize=512)
def expression(text: str, names: tuple[tuple[str, str], ...]) -> Expression:
    """The compiled expression of a text and the names in it. Raises ExpressionError."""
    return Expression(text, dict(names))


def evaluated(program: Any, given: Mapping[str, Any]) -> Any:
    """The value of a compiled expression as ordinary Python.

    Raises:
        ExpressionError: it has none; the message quotes no value.
    """
    from cel_expr_python import cel

    try:
        result = program.eval(data=dict(given))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ExpressionError(kind(said(error))) from None
    if result.type() == cel.Type.ERROR:
        raise ExpressionError(kind(shorten(str(result.value()))))
    return result.plain_value()


class _Room:
    """Converts values to those of CEL and back, as long as their text is not too long altogether."""

    def __init__(self) -> None:
        self._left = TEXT_LIMIT

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ExpressionError(f"texts and lists of more than {TEXT_LIMIT:,} characters and items")

    def _take(self, text: str) -> str:
        self._spend(len(text))
        if "\0" in text or not _is_whole(text):
            raise ExpressionError("text with a NUL character, or with half of a surrogate pair")
        return text

    def given(self, raw: Any) -> Any:
        """A raw value as CEL takes it. Numbers that it would round are refused."""
        if raw is None or raw is MISSING:
            return None
        if isinstance(raw, Undecodable):
            raise ExpressionError(raw.reason)
        if isinstance(raw, str):
            return self._take(str(raw))
        if isinstance(raw, bool | float):
            return raw
        if isinstance(raw, int):
            return raw if -(2**63) <= raw < 2**63 else _double(Decimal(raw)) if raw.bit_length() < 4_000 else _long()
        if isinstance(raw, Decimal):
            return _double(raw)
        if isinstance(raw, datetime | date | time):
            return raw.isoformat()
        if isinstance(raw, UUID):
            return str(raw)
        if isinstance(raw, Mapping):
            return {self._take(str(name)): self.given(each) for name, each in raw.items()}
        if isinstance(raw, list | tuple | set | frozenset):
            self._spend(len(raw))
            return [self.given(each) for each in raw]
        raise ExpressionError(f"a value of type {type(raw).__name__}, which an expression cannot take")

    def held(self, value: Any) -> Any:
        """A value of CEL as a driver could have returned it."""
        if isinstance(value, str):
            return self._take(value)
        if isinstance(value, Mapping):
            # CEL's maps have no order of their own.
            named = sorted(((str(name), each) for name, each in value.items()), key=itemgetter(0))
            return {self._take(name): self.held(each) for name, each in named}
        if isinstance(value, list | tuple):
            self._spend(len(value))
            return [self.held(each) for each in value]
        return value


def _is_whole(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _double(number: Decimal) -> float:
    if number.is_nan():
        return math.nan
    digits = number.as_tuple().digits
    significant = len(digits) - next((at for at, each in enumerate(reversed(digits)) if each), 0)
    if significant > EXACT_DIGITS:
        _long()
    double = float(number)
    if math.isinf(double) and number.is_finite():
        raise ExpressionError("a number beyond the range of an expression")
    return double


def _long() -> NoReturn:
    raise ExpressionError(f"a number of more than {EXACT_DIGITS} significant digits")


def rounded(value: Any) -> Any:
    """A computed value with its floating-point numbers as decimals of `EXACT_DIGITS` digits: `0.1 + 0.2` is 0.3."""
    if isinstance(value, float):
        return Decimal(f"{value:.{EXACT_DIGITS}g}") if math.isfinite(value) else value
    if isinstance(value, Mapping):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


# -- messages


def kind(message: str) -> str:
    """What failed, without the value that CEL quotes after a colon or in quotation marks."""
    return message if _OVERLOADS.fullmatch(message) else re.split(r"\s*[:\"'`]", message, maxsplit=1)[0]


def said(error: Exception) -> str:
    """The first line of a message, without its codes; with the parser's expectations as a sentence."""
    text = str(error).split("\n", 1)[0].replace("INVALID_ARGUMENT: ", "").replace("ERROR: <input>:", "at ")
    return shorten(_syntax(text))


def _syntax(text: str) -> str:
    match = _SYNTAX.match(text)
    if match is None:
        return text.replace(" (in container '')", "")
    place, message = match.groups()
    if message.startswith("token recognition error"):
        sign = message.partition("at: '")[2].strip("' ")
        hint = "; to compare, write ==" if sign == "=" else ""
        return f"{place}: {sign} is not part of the language{hint}"
    missing = re.match(r"missing '(.*?)'", message)
    if missing:
        return f"{place}: {missing[1]} is missing"
    before = _BEFORE.match(message)
    if before is None:
        return f"{place}: the expression cannot be read from here on"
    if before[1] == "<EOF>":
        return f"{place}: the expression ends too early; a value is missing"
    return f"{place}: {before[1]} cannot stand here"


def failed(value: object) -> bool:
    """Whether the value of an expression is the text of an error."""
    return isinstance(value, str) and _FAILED.match(value) is not None


def shorten(text: str) -> str:
    """A message without its code, cut to a length that can be shown."""
    return _FAILED.sub("", text, count=1).removesuffix(" [INVALID_ARGUMENT]")[:200]
