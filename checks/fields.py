"""The rules of fields, and the parsers that follow from them for each system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from checks import further_types, instants, numbers, values
from checks.further_types import Encoding
from checks.per_system import RESOLVED, Normalize, NullIs, Strip, Systems, named, told
from checks.validity import NO_VALIDITY, Span, Validity
from checks.values import Parser
from probes.durations import Duration
from probes.settings import EvidencePolicy, PluginSettings

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
"""Types with canonical forms in `checks.further_types`."""

PRECISION_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}


class CurrencyOf(PluginSettings):
    """The field that holds the currency of an amount."""

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
        owner: the system that is the source of truth for this field, if not the data type's owner.
        writers: further systems that may update this field.
        compare: false for a field that is read but never compared (its own `updated_at`, for example).
        tolerance: largest absolute difference of numbers that still agree.
        relative_tolerance: the same, as a share of the larger value.
        ulps: the same for floats, in units in the last place.
        nan_equal: whether NaN agrees with NaN.
        scale: decimals are compared after rounding to this many digits.
        precision: timestamps agree when they agree at this precision, truncated or rounded.
        strip, casefold, strip_accents, newlines: what to ignore in text; nothing by default. For every system,
            or for some (`checks.per_system`).
        normalize: whether text is compared in Unicode NFC or as it is stored.
        null_is: which of `missing` and `empty` mean NULL.
        map: per system, its labels and what they mean.
        currency: for money, the ISO 4217 code of amounts that carry none, or the field that holds it.
        minor_units: for money, the systems that count minor units.
        factor: for decimals, per system, the factor that turns its numbers into the values meant.
        unit: for timestamps and durations held as numbers, per system: s, ms or us.
        zone: per system, the zone of instants that carry none; by default the system's own zone.
        unordered: the order of arrays does not matter, within JSON or by themselves.
        separator: between the labels of a set.
        items: the type of an array's items or a range's bounds; without it they are compared as JSON has them.
        encoding: per system, how it writes bytes that it holds as text.
        evidence: what may be stored of a differing value.
        window_s: for a field that arrives later than the others, how long it alone may differ after a change.
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
    evidence: EvidencePolicy = "private"
    valid: Validity = NO_VALIDITY
    window_s: Duration | None = Field(default=None, alias="window", gt=0)
    description: str = ""

    def between(self, *systems: str) -> FieldRule:
        """The same rule with its settings resolved for a comparison of these systems."""
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
                f"items cannot be {self.items}; nested arrays need no setting, name the type of the innermost items"
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
"""The types that each setting of a rule applies to; settings not listed apply to all types."""


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
    """The parser of an array's items or a range's bounds: as `items` says; by default items are JSON, bounds text."""
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


def span_of(rule: FieldRule) -> Span | None:
    """The order of a field's values if they are neither numbers nor text: instants and days."""
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
