"""Validity: whether a value or a record is acceptable in itself, whatever the other systems say.

A field has simple bounds of its own (`Validity`); a data type has rules over its fields (`RuleSet`), written in
the Common Expression Language, which has no loops without bounds, no files, no clock and no side effects.
Source: the CEL specification, github.com/google/cel-spec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import field_validator

from checks.values import UnreadableError
from probes import expressions, patterns
from probes.contract import MISSING
from probes.settings import PluginSettings


class Validity(PluginSettings):
    """What a value must be.

    Attributes:
        required: NULL, missing and empty are invalid.
        min, max: inclusive bounds of numbers, amounts of money, instants (UTC if they carry no zone) and days; of
            the text form of everything else.
        one_of: the only values allowed, as text.
        matches: a regular expression that the whole text must match (`probes.patterns`).
    """

    required: bool = False
    min: Decimal | str | None = None
    max: Decimal | str | None = None
    one_of: tuple[str, ...] = ()
    matches: str | None = None

    @field_validator("matches")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            patterns.pattern(pattern)  # raises what to write instead
        return pattern


NO_VALIDITY = Validity()


Span = Callable[[Any], tuple[float, float] | None]
"""The place of a value or a bound in the order of its kind, from and to; None if it has none."""


def violation(valid: Validity, value: Any, text: str, span: Span | None = None) -> str:
    """Say which bound a canonical value breaks.

    Args:
        value: canonical, see `checks.values`.
        text: the value as displayed.
        span: the order of instants and days; other values are numbers, or compared as text.

    Returns:
        The broken bound, or "" for a valid value. NULL and missing break only `required`.
    """
    if value is None or value is MISSING or value == "":
        return "required" if valid.required else ""
    number = value[0] if isinstance(value, tuple) and value and isinstance(value[0], Decimal) else value
    if _beyond(number, text, valid.min, span, low=True):
        return f"below {valid.min}"
    if _beyond(number, text, valid.max, span, low=False):
        return f"above {valid.max}"
    if valid.one_of and text not in valid.one_of:
        return "not one of the allowed values"
    return "" if valid.matches is None else _mismatch(valid.matches, text)


def _mismatch(pattern: str, text: str) -> str:
    try:
        return "" if patterns.pattern(pattern).fullmatch(text) else f"does not match {pattern}"
    except patterns.PatternError as error:
        return f"cannot match {pattern}: {error}"


def _beyond(value: Any, text: str, bound: Decimal | str | None, span: Span | None, *, low: bool) -> bool:
    if bound is None:
        return False
    if span is not None and (here := span(value)) is not None and (there := span(str(bound))) is not None:
        return here[1] < there[0] if low else here[0] > there[1]
    if isinstance(bound, Decimal) and isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        return number.is_nan() or (number < bound if low else number > bound)
    return text < str(bound) if low else text > str(bound)


class RuleError(ValueError):
    """A rule that does not parse, names an unknown field, or is not true or false."""


class RuleSet:
    """A data type's rules, compiled once.

    Args:
        rules: by name, an expression that is true for a valid record. Fields are variables: numbers and
            amounts of money as numbers, the currency of `amount` as `amount_currency`, instants as timestamps,
            sets as lists, all else as text.
        fields: by name, the type of each field.

    Raises:
        RuleError: with the rule's name and what is wrong with it.
    """

    def __init__(self, rules: Mapping[str, str], fields: Mapping[str, str]) -> None:
        self.expressions = dict(rules)
        self._instants = frozenset(name for name, type_ in fields.items() if type_ == "timestamp")
        money = [name for name, type_ in fields.items() if type_ == "money"]
        self._currencies = frozenset(f"{name}_currency" for name in money) - fields.keys()
        self._spoken_of: frozenset[str] = frozenset()
        self._compiled: list[tuple[str, Any, frozenset[str], bool]] = []
        if not rules:
            return
        # 24 MB of memory that only a map with rules should cost.
        from cel_expr_python import cel

        variables = {name: cel.Type.TIMESTAMP if name in self._instants else cel.Type.DYN for name in fields}
        variables |= dict.fromkeys(self._currencies, cel.Type.DYN)
        environment = expressions.environment(variables)
        for name, text in rules.items():
            try:
                program = environment.compile(text)
            except (RuntimeError, TypeError) as error:
                raise RuleError(f"{name}: {expressions.said(error)}") from None
            if str(program.return_type()) not in {"BOOL", "DYN"}:
                raise RuleError(f"{name}: it does not say true or false, but gives {program.return_type()}")
            words = expressions.words_of(text)
            self._compiled.append((name, program, frozenset(words & variables.keys()), "null" in words))

        self._spoken_of = frozenset().union(*self.fields.values())

    def __bool__(self) -> bool:
        return bool(self._compiled)

    @property
    def fields(self) -> dict[str, frozenset[str]]:
        """By rule, the fields it names."""
        return {
            name: frozenset(each.removesuffix("_currency") if each in self._currencies else each for each in named)
            for name, _, named, _ in self._compiled
        }

    def broken(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The rules that a record breaks, each with its expression.

        Args:
            values: by field, as `checks.field_text.plain` returns them. A rule is skipped for a record in which a
                field it names is absent or NULL, unless it names `null` itself (instants never are null).

        Raises:
            UnreadableError: a rule cannot be applied to these values.
        """
        given = {name: _for_cel(value) for name, value in values.items() if name in self._spoken_of}
        for name in self._currencies:
            amount = values.get(name.removesuffix("_currency"))
            given[name] = amount[1] if isinstance(amount, tuple) else None
        absent = {name for name, value in given.items() if value is None}
        present = {name: value for name, value in given.items() if value is not None or name not in self._instants}
        broken = []
        for name, program, named, of_null in self._compiled:
            if not named <= present.keys() or (named & absent and not of_null):
                continue
            try:
                verdict = program.eval(data=present).value()
            except RuntimeError as error:
                raise UnreadableError(f"rule {name}: {expressions.kind(expressions.said(error))}") from None
            if verdict is False:
                broken.append((name, self.expressions[name]))
            elif verdict is not True:
                failed = expressions.failed(verdict)
                reason = (
                    expressions.kind(expressions.shorten(str(verdict)))
                    if failed
                    else "it says neither true nor false"
                )
                raise UnreadableError(f"rule {name}: {reason}")
        return broken


NO_RULES = RuleSet({}, {})


def _for_cel(value: Any) -> Any:
    """A plain value as a CEL value; CEL has doubles and no decimals."""
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, Decimal):
        number = float(value)
        if math.isinf(number) and value.is_finite():
            raise UnreadableError("a number beyond what a rule can reckon with")
        return number
    if isinstance(value, str) and "\0" in value:
        raise UnreadableError("text with a NUL character, which a rule cannot take")
    if isinstance(value, Mapping):
        return {str(key): _for_cel(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_for_cel(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return _for_cel(Decimal(value))
    return value
