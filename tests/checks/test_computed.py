"""Fields computed from a row: which values of the row they take, and what stands for a value that fails."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.computed import columns_of
from checks.fields import FieldRule, FieldType, parser_for
from checks.sides import read_field
from checks.unreadable import UnreadableError
from probes.contract import MISSING
from probes.exact_json import Undecodable
from probes.settings import Binding

RULES = [
    ("mail", FieldRule()),
    ("name", FieldRule()),
    ("weight", FieldRule(type="decimal")),
    ("share", FieldRule(type="float")),
]
BINDING = Binding.model_validate(
    {
        "collection": "c",
        "key": "id",
        "fields": {"mail": "email"},
        "computed": {
            "name": "first + ' ' + last",
            "weight": {"value": "double(g) / 1000.0", "from": {"g": "grams"}},
            "share": "a / b",
        },
    }
)


def test_a_row_holds_what_the_fields_are_computed_from() -> None:
    spec = BINDING.spec("customer", [name for name, _ in RULES], zone=None)
    assert spec.fields == ("email", "first", "last", "grams", "a", "b")


def test_each_field_takes_its_own_values_of_the_row() -> None:
    columns = columns_of(BINDING, RULES)
    assert columns is not None
    assert columns.values(["x@y", "Ada", "Lovelace", 1500, 1.0, 3.0]) == [
        "x@y",
        "Ada Lovelace",
        Decimal("1.5"),
        1 / 3,
    ]
    assert columns.values([None, None, "Lovelace", MISSING, 1.0, 2.0]) == [None, None, MISSING, 0.5]


def test_a_failure_stays_in_its_field() -> None:
    columns = columns_of(BINDING, RULES)
    assert columns is not None
    mail, name, weight, share = columns.values(["x@y", "Ada", 5, 1500, "a", 2.0])
    assert (mail, weight) == ("x@y", Decimal("1.5"))
    for each in (name, share):
        assert isinstance(each, Undecodable)
        assert each.reason.startswith("it is computed, and that failed: No matching overloads found")


def test_a_system_that_computes_none_of_the_fields_has_none_to_compute() -> None:
    assert columns_of(BINDING, RULES[:1]) is None


@pytest.mark.parametrize("type_", get_args(FieldType))
def test_a_failure_is_unreadable_with_its_reason_whatever_the_type(type_: str) -> None:
    rule = FieldRule.model_validate({"type": type_, "currency": "EUR" if type_ == "money" else None})
    with pytest.raises(UnreadableError, match="it is computed, and that failed: division by zero"):
        read_field(
            parser_for(rule, "crm", "UTC"), rule, Undecodable("it is computed, and that failed: division by zero")
        )


@given(st.lists(st.none() | st.text() | st.integers() | st.floats() | st.just(MISSING), min_size=6, max_size=6))
def test_every_row_has_one_value_for_each_field(row: list[Any]) -> None:
    columns = columns_of(BINDING, RULES)
    assert columns is not None
    values = columns.values(row)
    assert len(values) == len(RULES)
    assert values[0] is row[0]
