"""Comparing fields: their rules, equality of canonical values, and the shape of a difference."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from checks import further_types, instants, numbers, values
from checks.further_types import Encoding
from checks.instants import Instant
from checks.per_system import RESOLVED, Normalize, NullIs, Strip, Systems, named, told
from checks.validity import NO_VALIDITY, Span, Validity
from checks.values import Parser
from probes.contract import MISSING, Evidence, PluginSettings
from probes.exact_json import encode

FieldType = Literal[
    "string",
    "integer",
    "decimal",
    "float",
    "boolean",
    "timestamp",
    "date",
    "enum",
    "money",
    "uuid",
    "json",
    "set",
    "salesforce_id",
    "time",
    "duration",
    "bytes",
    "bits",
    "network",
    "mac",
    "array",
    "range",
]

FURTHER = frozenset({"time", "duration", "bytes", "bits", "network", "mac", "array", "range"})
"""Types whose canonical forms stand in `checks.further_types`."""

PRECISION_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}
QUARTER_HOUR_US = 15 * 60 * 1_000_000


class CurrencyOf(PluginSettings):
    """Where the currency of an amount stands."""

    from_: str = Field(alias="from")


Currency = Annotated[
    str | CurrencyOf | None, told("write a code such as EUR, or the field that holds it: {from: NAME}")
]


def _is_factor(factor: Decimal) -> Decimal:
    if not factor.is_finite() or not factor or len(factor.as_tuple().digits) > 30 or abs(factor.adjusted()) > 30:
        raise ValueError("write a number other than 0, with at most 30 digits")
    return factor


Factor = Annotated[Decimal, AfterValidator(_is_factor)]


class FieldRule(PluginSettings):
    """How one field of a data type is read and compared.

    Attributes:
        type: what the value means; see `checks.values` and `checks.further_types`.
        owner: the system that is the source of truth for this field, where it is not the data type's.
        writers: further systems that may update this field.
        compare: false for a field that is read but never compared (its own `updated_at`, for example).
        tolerance: largest absolute difference of numbers that still agree.
        relative_tolerance: the same, as a share of the larger value.
        ulps: the same for floats, in units in the last place.
        nan_equal: whether NaN agrees with NaN.
        scale: decimals are compared after rounding to this many digits.
        precision: timestamps agree when they agree at this precision, truncated or rounded.
        strip, casefold, strip_accents, newlines: what does not matter in text; nothing by default. For every system,
            or for some (`checks.per_system`).
        normalize: whether text is compared in Unicode NFC or as it is stored.
        null_is: which of `missing` and `empty` mean NULL.
        map: per system, its labels and what they mean.
        currency: for money, the ISO 4217 code of amounts that carry none, or the field that holds it.
        minor_units: for money, the systems that count minor units.
        factor: for decimals, per system, what its numbers are multiplied by to be what is meant.
        unit: for timestamps and durations held as numbers, per system: s, ms or us.
        zone: per system, the zone of instants that carry none; the system's own zone otherwise.
        unordered: the order of arrays does not matter, within JSON or by themselves.
        separator: between the labels of a set.
        items: the type of an array's items or a range's bounds; without it they are compared as JSON has them.
        encoding: per system, how it writes bytes that it holds as text.
        evidence: what may be stored of a differing value.
        valid: what the value must be in itself.
    """

    type: FieldType = "string"
    owner: str | None = None
    writers: tuple[str, ...] = ()
    compare: bool = True
    tolerance: Decimal = Field(default=Decimal(0), ge=0)
    relative_tolerance: float = Field(default=0, ge=0, lt=1)
    ulps: int = Field(default=0, ge=0)
    nan_equal: bool = False
    scale: int | None = Field(default=None, ge=0, le=30)
    precision: Literal["us", "ms", "s", "m"] = "us"
    strip: Strip = "none"
    casefold: Systems = False
    strip_accents: Systems = False
    newlines: Systems = False
    normalize: Normalize = "nfc"
    null_is: NullIs = frozenset()
    map: dict[str, dict[str, str]] = {}
    currency: Currency = None
    minor_units: tuple[str, ...] = ()
    factor: dict[str, Factor] = {}
    unit: dict[str, Literal["s", "ms", "us"]] = {}
    zone: dict[str, str] = {}
    unordered: bool = False
    separator: str = ";"
    items: FieldType | None = None
    encoding: dict[str, Encoding] = {}
    evidence: Evidence = "private"
    valid: Validity = NO_VALIDITY
    description: str = ""

    def between(self, *systems: str) -> FieldRule:
        """The same rule with what its words come to where these systems are compared."""
        changed = {
            word: resolve(getattr(self, word), systems)
            for word, resolve in RESOLVED.items()
            if named(getattr(self, word))
        }
        return self.model_copy(update=changed) if changed else self

    @property
    def currency_field(self) -> str | None:
        """The field of the record that holds the currency of this one."""
        return self.currency.from_ if isinstance(self.currency, CurrencyOf) else None

    @model_validator(mode="after")
    def _scalar_items(self) -> Self:
        if self.items in {"array", "range", "money"}:
            raise ValueError(
                f"items cannot be {self.items}; arrays within arrays need no word, say what the innermost hold"
            )
        return self


ACTS_ON: dict[str, frozenset[str]] = {
    "tolerance": frozenset({"integer", "decimal", "float", "money"}),
    "relative_tolerance": frozenset({"integer", "decimal", "float"}),
    "ulps": frozenset({"float"}),
    "nan_equal": frozenset({"decimal", "float"}),
    "scale": frozenset({"decimal"}),
    "precision": frozenset({"timestamp", "time", "duration"}),
    "strip": frozenset({"string"}),
    "casefold": frozenset({"string"}),
    "strip_accents": frozenset({"string"}),
    "newlines": frozenset({"string"}),
    "normalize": frozenset({"string", "enum", "set", "json", "array", "range"}),
    "map": frozenset({"enum", "boolean"}),
    "currency": frozenset({"money"}),
    "minor_units": frozenset({"money"}),
    "factor": frozenset({"decimal"}),
    "unit": frozenset({"timestamp", "duration"}),
    "zone": frozenset({"timestamp"}),
    "unordered": frozenset({"json", "array"}),
    "separator": frozenset({"set"}),
    "items": frozenset({"array", "range"}),
    "encoding": frozenset({"bytes"}),
}
"""The types that each word of a rule acts on; the words that are not here act on all of them."""


class Shape(StrEnum):
    """What a difference looks like, as a hint at where it comes from."""

    VALUE = "value"
    NORMALIZATION = "normalization"
    NULL = "null"
    MISSING = "missing"
    EMPTY = "empty"
    CASE = "case"
    WHITESPACE = "whitespace"
    ACCENTS = "accents"
    TRUNCATED = "truncated"
    ROUNDED = "rounded"
    ZONE_SHIFTED = "zone_shifted"
    SIGN = "sign"
    SCALED = "scaled"
    CURRENCY = "currency"
    UNREADABLE = "unreadable"


DERIVED = frozenset(
    {
        Shape.NORMALIZATION,
        Shape.CASE,
        Shape.WHITESPACE,
        Shape.ACCENTS,
        Shape.TRUNCATED,
        Shape.ROUNDED,
        Shape.ZONE_SHIFTED,
        Shape.SIGN,
        Shape.SCALED,
    }
)
"""Shapes that a change of form on the way makes of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs, told as far as its evidence policy allows.

    Attributes:
        pattern: what the difference has in common with others of its field (`checks.difference_kinds`).
        cause: why this field differs, where it is known.
    """

    field: str
    shape: Shape
    owner_value: str
    target_value: str
    pattern: str = ""
    cause: str = ""


def parser_for(rule: FieldRule, system: str, zone: str | None) -> Parser:
    """Make the parser of one field as `system` holds it.

    Args:
        zone: the system's zone, for instants that carry none.
    """
    rule = rule.between(system)
    normalize = str(rule.normalize)
    parsers: dict[str, Callable[[], Parser]] = {
        "string": lambda: values.string_parser(
            strip=str(rule.strip),
            casefold=bool(rule.casefold),
            strip_accents=bool(rule.strip_accents),
            newlines=bool(rule.newlines),
            normalize=normalize,
        ),
        "integer": lambda: values.parse_integer,
        "decimal": lambda: _decimal_parser(rule, system),
        "float": lambda: values.parse_float,
        "boolean": lambda: values.boolean_parser(*_tokens(rule.map.get(system))),
        "timestamp": lambda: values.timestamp_parser(rule.zone.get(system, zone), rule.unit.get(system)),
        "date": lambda: values.parse_date,
        "enum": lambda: values.enum_parser(rule.map.get(system), normalize=normalize),
        "money": lambda: values.money_parser(
            rule.currency if isinstance(rule.currency, str) else None, minor_units=system in rule.minor_units
        ),
        "uuid": lambda: values.parse_uuid,
        "json": lambda: values.json_parser(unordered=rule.unordered, normalize=normalize),
        "set": lambda: values.set_parser(rule.separator, normalize=normalize),
        "salesforce_id": lambda: values.parse_salesforce_id,
        "time": lambda: further_types.parse_time,
        "duration": lambda: further_types.duration_parser(rule.unit.get(system)),
        "bytes": lambda: further_types.bytes_parser(rule.encoding.get(system)),
        "bits": lambda: further_types.parse_bits,
        "network": lambda: further_types.parse_network,
        "mac": lambda: further_types.parse_mac,
        "array": lambda: further_types.array_parser(_of_items(rule, system, zone), unordered=rule.unordered),
        "range": lambda: further_types.range_parser(_of_items(rule, system, zone)),
    }
    parse = parsers[rule.type]()
    return values.empty_is_null(parse) if "empty" in rule.null_is else parse


def _of_items(rule: FieldRule, system: str, zone: str | None) -> Parser:
    """The parser of what an array or a range holds: as `items` says; without it items are JSON and bounds text."""
    if rule.items is not None:
        return parser_for(rule.model_copy(update={"type": rule.items, "items": None}), system, zone)
    if rule.type == "range":
        return parser_for(rule.model_copy(update={"type": "string"}), system, zone)
    parse = values.json_parser(unordered=rule.unordered, normalize=str(rule.normalize))
    return lambda item: parse([item])[1]  # an item that is text is no JSON text


def _tokens(mapping: Mapping[str, str] | None) -> tuple[frozenset[str], frozenset[str]]:
    if mapping is None:
        return values.TRUE_TOKENS, values.FALSE_TOKENS
    folded = {token.casefold(): meaning.casefold() for token, meaning in mapping.items()}
    return (
        frozenset(token for token, meaning in folded.items() if meaning == "true"),
        frozenset(token for token, meaning in folded.items() if meaning == "false"),
    )


def _decimal_parser(rule: FieldRule, system: str) -> Parser:
    parse = _scaled(rule.scale) if rule.scale is not None else values.parse_decimal
    return values.factor_parser(rule.factor[system], parse) if system in rule.factor else parse


def _scaled(scale: int) -> Parser:
    def parse(raw: Any) -> Decimal:
        number = values.parse_decimal(raw)
        return values.parse_decimal(numbers.rounded(number, scale)) if number.is_finite() else number

    return parse


def agree(rule: FieldRule, owner: Any, target: Any) -> bool:
    """Whether two canonical values of one field mean the same under its rule."""
    if owner == target:
        return True
    if owner is None or target is None or owner is MISSING or target is MISSING:
        return False
    if rule.type == "timestamp":
        return _same_instant(owner, target, PRECISION_US[rule.precision])
    if rule.type in {"time", "duration"}:
        return _same_span(owner, target, PRECISION_US[rule.precision], at=int(rule.type == "duration"))
    if rule.type in {"array", "range"} and rule.items is not None:
        return _same_items(rule.model_copy(update={"type": rule.items, "items": None}), owner, target)
    if rule.type == "money":
        return bool(owner[1] == target[1] and _near(rule, owner[0], target[0]))
    if rule.type == "float":
        return _same_float(rule, owner, target)
    if rule.type in {"decimal", "integer"}:
        return _near(rule, owner, target)
    return False


def _same_items(of: FieldRule, owner: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    """Whether two arrays or sets of ranges agree item by item; a local time among them may stand for two instants."""
    if len(owner) != len(target) or owner[:1] != target[:1]:
        return False
    if owner[0] == "range":
        return all(
            left[1::2] == right[1::2] and all(agree(of, *ends) for ends in zip(left[::2], right[::2], strict=True))
            for left, right in zip(owner[1:], target[1:], strict=True)
        )
    return all(
        _is_array(left) and _is_array(right) and _same_items(of, left, right)
        if _is_array(left) or _is_array(right)
        else agree(of, left, right)
        for left, right in zip(owner[1:], target[1:], strict=True)
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, tuple) and value[:1] == ("array",)


def _near(rule: FieldRule, owner: Decimal | int, target: Decimal | int) -> bool:
    """Whether two unequal numbers are no further apart than their rule tolerates, exactly reckoned."""
    left, right = Decimal(owner), Decimal(target)
    if left.is_nan() and right.is_nan():
        return rule.nan_equal
    if not (left.is_finite() and right.is_finite()):
        return False
    allowed = rule.tolerance
    if rule.relative_tolerance:
        larger = max(left.copy_abs(), right.copy_abs())
        allowed = max(allowed, numbers.EXACT.multiply(Decimal(str(rule.relative_tolerance)), larger))
    return bool(numbers.EXACT.subtract(left, right).copy_abs() <= allowed)


def _same_instant(owner: Instant, target: Instant, precision_us: int) -> bool:
    """Whether either reading of the one is either reading of the other, at the coarser precision."""
    if isinstance(owner, str) or isinstance(target, str):
        return False
    return any(
        left == right or (precision_us > 1 and _near_instants(left, right, precision_us))
        for left in _readings(owner)
        for right in _readings(target)
    )


def _readings(instant: int | tuple[int, int]) -> tuple[int, ...]:
    return instant if isinstance(instant, tuple) else (instant,)


def _near_instants(owner: int, target: int, precision_us: int) -> bool:
    """Equal at the coarser precision, whether the coarser system truncated or rounded."""
    forms = [{at // precision_us, (at + precision_us // 2) // precision_us} for at in (owner, target)]
    exact = [at // precision_us if at % precision_us == 0 else None for at in (owner, target)]
    if exact[0] is None and exact[1] is None:
        return owner // precision_us == target // precision_us
    return (exact[0] in forms[1] if exact[0] is not None else False) or (
        exact[1] in forms[0] if exact[1] is not None else False
    )


def _same_span(owner: Any, target: Any, precision_us: int, *, at: int) -> bool:
    """The same for times of day, whose offsets must be equal, and durations, whose months must.

    Args:
        at: where in a pair the microseconds stand.
    """
    if precision_us == 1 or isinstance(owner, int) is not isinstance(target, int):
        return False
    if isinstance(owner, int):
        return _near_instants(owner, target, precision_us)
    return bool(owner[1 - at] == target[1 - at]) and _near_instants(owner[at], target[at], precision_us)


def _same_float(rule: FieldRule, owner: float, target: float) -> bool:
    if math.isnan(owner) or math.isnan(target):
        return rule.nan_equal and math.isnan(owner) and math.isnan(target)
    if math.isinf(owner) or math.isinf(target):
        return False
    allowed = max(
        float(rule.tolerance),
        rule.relative_tolerance * max(abs(owner), abs(target)),
        rule.ulps * math.ulp(max(abs(owner), abs(target))),
    )
    return abs(owner - target) <= allowed


def shape_of(rule: FieldRule, owner: Any, target: Any) -> Shape:
    """Say what the difference between two canonical values looks like."""
    either = (owner, target)
    if rule.normalize == "none" and _composed(owner) == _composed(target):
        return Shape.NORMALIZATION
    if MISSING in either:
        return Shape.MISSING
    if None in either:
        return Shape.EMPTY if "" in either or () in either else Shape.NULL
    if isinstance(owner, str) and isinstance(target, str) and rule.type in {"string", "enum"}:
        return _text_shape(owner, target)
    if rule.type == "timestamp" and not (isinstance(owner, str) or isinstance(target, str)):
        apart = abs(apart_us(owner, target))
        if apart % QUARTER_HOUR_US == 0 and apart <= 14 * 4 * QUARTER_HOUR_US:
            return Shape.ZONE_SHIFTED
        return Shape.ROUNDED if apart <= 1_000_000 else Shape.VALUE
    if rule.type == "money":
        if owner[1] != target[1]:
            return Shape.CURRENCY
        owner, target = owner[0], target[0]
    if isinstance(owner, int | float | Decimal) and isinstance(target, int | float | Decimal):
        return _number_shape(owner, target)
    return Shape.VALUE


def _composed(value: Any) -> Any:
    """A canonical value with all of its text in Unicode NFC."""
    if isinstance(value, str):
        return values.composed(value)
    return tuple(map(_composed, value)) if isinstance(value, tuple) else value


def apart_us(owner: int | tuple[int, int], target: int | tuple[int, int]) -> int:
    """From the owner's instant to the target's; where one stands for two, between the nearest."""
    return min((right - left for left in _readings(owner) for right in _readings(target)), key=abs)


def _text_shape(owner: str, target: str) -> Shape:
    if not owner or not target:
        return Shape.EMPTY
    if owner.casefold() == target.casefold():
        return Shape.CASE
    if re.sub(r"[\s\u00a0\u200b-\u200d\ufeff]+", "", owner) == re.sub(r"[\s\u00a0\u200b-\u200d\ufeff]+", "", target):
        return Shape.WHITESPACE
    shorter, longer = sorted((owner, target), key=len)
    if longer.startswith(shorter) and len(shorter) >= 4:
        return Shape.TRUNCATED
    folded = values.string_parser(strip="none", casefold=False, strip_accents=True, newlines=False)
    return Shape.ACCENTS if folded(owner) == folded(target) else Shape.VALUE


def _number_shape(owner: Any, target: Any) -> Shape:
    try:
        left, right = Decimal(str(owner)), Decimal(str(target))
    except ArithmeticError:
        return Shape.VALUE
    if not (left.is_finite() and right.is_finite()):
        return Shape.VALUE
    if left == -right:
        return Shape.SIGN
    if left and right and abs(left / right) in {Decimal(1000), Decimal(100), Decimal("0.01"), Decimal("0.001")}:
        return Shape.SCALED
    coarser = max(int(left.as_tuple().exponent), int(right.as_tuple().exponent))
    if coarser >= -15 and abs(left - right) < Decimal(1).scaleb(coarser):
        return Shape.ROUNDED
    return Shape.VALUE


def span_of(rule: FieldRule) -> Span | None:
    """The order of a field's values where it is neither that of numbers nor that of text: of instants and days."""
    if rule.type not in {"timestamp", "date"}:
        return None
    parse_bound = values.timestamp_parser("UTC", None) if rule.type == "timestamp" else values.parse_date

    def span(value: Any) -> tuple[float, float] | None:
        try:
            at = parse_bound(value) if isinstance(value, str) else value
            if rule.type == "timestamp":
                return instants.span(at)
            return instants.day_order(at), instants.day_order(at)
        except values.UnreadableError:
            return None

    return span


def plain(rule: FieldRule, value: Any) -> Any:
    """A canonical value as ordinary Python: instants as aware datetimes, JSON as it was, NULL and missing as None.

    An instant that Python does not have (an infinity, one beyond the years 1 to 9999, one of two) is its text.
    """
    if value is None or value is MISSING:
        return None
    if rule.type == "timestamp":
        return instants.aware(value) or instants.instant_text(value)
    if rule.type == "json":
        return _plain_json(value)
    if rule.type == "array":
        return _plain_json(value) if rule.items is None else _each(rule, value, plain)
    if rule.type in FURTHER:
        return text_of(rule, value)
    return list(value) if rule.type == "set" else value


def _each(rule: FieldRule, value: Any, tell: Callable[[FieldRule, Any], Any]) -> Any:
    """A canonical array as nested lists, each item told as its type is."""
    if isinstance(value, tuple) and value and value[0] == "array":
        return [_each(rule, each, tell) for each in value[1:]]
    return None if value is None else tell(rule.model_copy(update={"type": rule.items, "items": None}), value)


def _plain_json(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    kind, *items = value
    if kind == "boolean":
        return items[0]
    if kind == "object":
        return {key: _plain_json(each) for key, each in items}
    return [_plain_json(each) for each in items]


def show(rule: FieldRule, value: Any) -> str:
    """Tell a canonical value as far as the field's evidence policy allows."""
    if value is None or value is MISSING:
        return values.describe(value)
    if rule.evidence == "private":
        return values.describe(value)
    text = text_of(rule, value)
    return text[:200] if rule.evidence == "clear" else masked(text)


def masked(text: str) -> str:
    """The ends of a text and its length."""
    return f"{text[:1]}***{text[-1:]} ({len(text)})" if len(text) > 4 else f"*** ({len(text)})"


def text_of(rule: FieldRule, value: Any) -> str:
    """Write a canonical value as people read it."""
    if value is None or value is MISSING:
        return values.describe(value)
    if rule.type == "timestamp":
        return instants.instant_text(value)
    if rule.type == "money":
        return f"{value[0]:f} {value[1]}"
    if rule.type == "json" or (rule.type == "array" and rule.items is None):
        return encode(_plain_json(value))
    if rule.type == "array":
        return json.dumps(_each(rule, value, text_of), ensure_ascii=False)
    if rule.type == "decimal" and isinstance(value, Decimal):
        return f"{value:f}"
    if rule.type == "set":
        return ", ".join(value)
    return further_types.text_of_further(rule.type, value) if rule.type in FURTHER else str(value)
