"""Expressions over raw values of one record: what they read, what they return, and how they fail."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.contract import MISSING
from probes.exact_json import Undecodable
from probes.expressions import LONGEST, TEXT_LIMIT, Expression, ExpressionError, rounded

SECRET = "hunter2secret"


def value(text: str, names: dict[str, str] | None = None, **held: Any) -> Any:
    """The value of an expression for a record."""
    compiled = Expression(text, names or {})
    return rounded(compiled.value([held[each] for each in compiled.fields]))


@pytest.mark.parametrize(
    ("text", "held", "result"),
    [
        ("lower(mail)", {"mail": "Ada@Example.COM"}, "ada@example.com"),
        ("upper(mail)", {"mail": "straße"}, "STRASSE"),
        ("first + ' ' + last", {"first": "Ada", "last": "Lovelace"}, "Ada Lovelace"),
        ("trim(name)", {"name": " Ada "}, "Ada"),
        ("digits(phone)", {"phone": "+44 (0)20 7946-0000"}, "4402079460000"),
        ("replace(name, 'ö', 'oe')", {"name": "Jörg"}, "Joerg"),
        ("split(name, ' ')[1]", {"name": "Ada Lovelace"}, "Lovelace"),
        ("double(grams) / 1000.0", {"grams": 1234}, Decimal("1.234")),
        ("price * 1.19", {"price": Decimal("10.00")}, Decimal("11.9")),
        ("a + b", {"a": Decimal("0.1"), "b": Decimal("0.2")}, Decimal("0.3")),
        ("total - paid", {"total": 2**53 + 1, "paid": 0}, 2**53 + 1),
        ("cents / 100", {"cents": 1999}, 19),
        ("state == 'A' ? 'active' : 'closed'", {"state": "A"}, "active"),
        ("upper(address.city)", {"address.city": "Berlin"}, "BERLIN"),
        ("tags.filter(t, t != 'x')", {"tags": ["a", "x"]}, ["a"]),
        ("size(lines)", {"lines": [Decimal(1), {"a": None}]}, 2),
        ("active && !locked", {"active": True, "locked": False}, True),
        ("string(id) + '!'", {"id": 7}, "7!"),
        ("day + 'T00:00:00Z'", {"day": date(2026, 1, 2)}, "2026-01-02T00:00:00Z"),
        ("'x' + at", {"at": datetime(2026, 1, 2, tzinfo=UTC)}, "x2026-01-02T00:00:00+00:00"),
        ("upper(id)", {"id": UUID(int=10)}, "00000000-0000-0000-0000-00000000000A"),
    ],
)
def test_a_value_is_computed_from_the_fields_of_a_record(text: str, held: dict[str, Any], result: Any) -> None:
    computed = value(text, **held)
    assert computed == result
    assert type(computed) is type(result)


def test_instants_can_be_calculated_with() -> None:
    assert value("timestamp(at) + duration('1h')", at="2026-01-02T03:00:00Z") == datetime(2026, 1, 2, 4, tzinfo=UTC)


def test_a_field_may_have_another_name_than_in_the_expression() -> None:
    compiled = Expression("a + b + a", {"a": "$.name['first name']"})
    assert compiled.fields == ("$.name['first name']", "b")
    assert compiled.value(["x", "y"]) == "xyx"


@pytest.mark.parametrize("absent", [None, MISSING])
def test_a_record_without_a_field_has_no_value(absent: Any) -> None:
    assert value("a + b", a="x", b=absent) is absent
    assert value("lower(a)", a=absent) is absent


def test_an_expression_that_mentions_null_decides_about_absent_fields_itself() -> None:
    for absent in (None, MISSING):
        assert value("a == null ? b : a", a=absent, b="x") == "x"
    assert value("a == 'null' ? b : a", a=None, b="x") is None
    assert value("a == '' ? null : a", a="") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lowr(mail)", "unknown function lowr(); did you mean 'lower'?"),
        ("first + ", "the expression ends too early"),
        ("first = last", "= is not part of the language"),
        ("'EUR'", "it reads no field of the record"),
        ("1 + 'a'", "found no matching overload"),
        ("lower(a, b)", "lower() takes 1 text"),
        ("replace(a, 'x')", "replace() takes 3 texts"),
        ("a + '\\x00'", "a NUL character"),
        ("a + '\\000'", "a NUL character"),
        ("a" * (LONGEST + 1), "more than 1,000 characters"),
    ],
)
def test_an_expression_that_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        Expression(text, {})
    assert said in str(refused.value)


def test_a_part_of_a_field_is_read_where_from_names_the_field() -> None:
    compiled = Expression("address.city + address.lines[1]", {"address": "$.place"})
    assert compiled.fields == ("$.place",)
    assert compiled.value([{"city": "Berlin", "lines": ["", "!"]}]) == "Berlin!"
    with pytest.raises(ExpressionError) as failed:
        compiled.value([{"lines": [SECRET]}])
    assert SECRET not in str(failed.value)


def test_a_name_that_the_expression_does_not_use_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ExpressionError, match="'gramms', which the expression does not use; did you mean 'grams'"):
        Expression("grams / 2", {"gramms": "$.g"})


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a + 1", {"a": SECRET}),
        ("int(a)", {"a": SECRET}),
        ("1 / a", {"a": 0}),
        ("a + ''", {"a": SECRET + "\0"}),
        ("a + ''", {"a": SECRET + "\ud800"}),
        ("split(a, ',')[3]", {"a": SECRET}),
        ("replace(a, '', 'x')", {"a": SECRET}),
        ("split(a, '')", {"a": SECRET}),
        ("lower(a)", {"a": 5}),
        ("a + 'x'", {"a": Undecodable("JSON with a key twice in one object")}),
        ("a + 'x'", {"a": SECRET * TEXT_LIMIT}),
        ("a + a", {"a": "x" * (TEXT_LIMIT - 1)}),
        ("size(a)", {"a": [0] * (TEXT_LIMIT + 1)}),
        ("size(a)", {"a": {str(number): number for number in range(TEXT_LIMIT)}}),
        ("replace(a, 'x', a)", {"a": "x" * 1_000}),
        ("a * 2.0", {"a": Decimal("1.234567890123456789")}),
        ("a + 1", {"a": 10**30 + 1}),
        ("a + 1.0", {"a": Decimal("1e999")}),
        ("a == b", {"a": b"bytes", "b": 1}),
        ("timestamp(a)", {"a": SECRET}),
    ],
)
def test_a_failure_is_named_and_quotes_no_value(text: str, held: dict[str, Any]) -> None:
    with pytest.raises(ExpressionError) as failed:
        value(text, **held)
    assert str(failed.value)
    assert SECRET not in str(failed.value)
    assert "hunter" not in str(failed.value)


def test_a_value_nested_too_deeply_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ExpressionError):
        value("size(a)", a=nested)


def test_an_expression_cannot_run_for_long() -> None:
    nested = "a.all(b, a.all(c, a.all(d, a.all(e, a.all(f, f >= b)))))"
    with pytest.raises(ExpressionError):
        value(nested, a=[0] * 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TEXTS = [
    "lower(a)",
    "a + b",
    "a == null ? b : a",
    "a / b",
    "string(a)",
    "size(a) > 1 ? b : a",
    "a[0]",
    "a * 1.5",
]


@given(text=st.sampled_from(TEXTS), a=JSON, b=JSON)
def test_any_value_gives_a_value_or_a_named_failure(text: str, a: Any, b: Any) -> None:
    compiled = Expression(text, {})
    held = {"a": a, "b": b}
    try:
        result = compiled.value([held[each] for each in compiled.fields])
    except ExpressionError:
        return
    again = compiled.value([held[each] for each in compiled.fields])
    assert repr(rounded(again)) == repr(rounded(result))


@given(number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=2))
def test_amounts_survive_a_sum_with_nothing(number: Decimal) -> None:
    assert value("a + 0.0", a=number) == number


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_is_neither_lost_nor_changed_on_the_way(text: str) -> None:
    assert value("a + ''", a=text) == text
    assert value("lower(a)", a=text) == text.lower()
