"""Whether a record is marked as deleted: what each form of the word makes of a value."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.delete_flags import flag_of, parted
from checks.unreadable import UnreadableError
from probes.contract import MISSING, Bits
from probes.exact_json import Undecodable
from probes.settings import Binding, DeleteFlag

AT = datetime(2026, 3, 1, tzinfo=UTC)

SET: list[tuple[object, Any]] = [
    (True, True),
    (True, 1),
    (True, "true"),
    (True, b"\x01"),
    (True, Bits("1")),
    (False, 0),
    (False, "false"),
    ("deleted", "deleted"),
    ("deleted", "deleted  "),
    (["deleted", "archived"], "archived"),
    (1, 1),
    (1, "1"),
    ([8, 9], Decimal("9.00")),
    ("not null", AT),
    ("not null", "2026-03-01"),
    ("not null", 0),
]
NOT_SET: list[tuple[object, Any]] = [
    (True, False),
    (True, 0),
    (True, None),
    (False, 1),
    (False, None),
    ("deleted", "live"),
    ("deleted", "Deleted"),
    ("deleted", None),
    ("deleted", ""),
    (1, 0),
    ("not null", None),
]
UNREAD: list[tuple[object, Any]] = [
    (True, "maybe"),
    (True, AT),
    (True, 7),
    (True, MISSING),
    (True, Undecodable("two values of one name")),
    ("deleted", True),
    ("deleted", ["deleted"]),
    ("deleted", Decimal("1.5")),
    ("deleted", Decimal("NaN")),
    ("deleted", MISSING),
    ("not null", ""),
    ("not null", MISSING),
    ("not null", Undecodable("cut off")),
]


def is_set(declared: object, raw: Any, **words: Any) -> bool:
    flag = flag_of(DeleteFlag.model_validate({"field": "gone", "is": declared, **words}), "crm")
    assert flag is not None
    return flag.is_set(raw)


@pytest.mark.parametrize(("declared", "raw"), SET)
def test_a_value_that_means_deleted(declared: object, raw: Any) -> None:
    assert is_set(declared, raw)


@pytest.mark.parametrize(("declared", "raw"), NOT_SET)
def test_a_value_that_does_not(declared: object, raw: Any) -> None:
    assert not is_set(declared, raw)


@pytest.mark.parametrize(("declared", "raw"), UNREAD)
def test_a_value_of_which_nobody_can_tell(declared: object, raw: Any) -> None:
    with pytest.raises(UnreadableError):
        is_set(declared, raw)


def test_a_record_without_the_field_is_there_where_the_map_says_so() -> None:
    assert not is_set(True, MISSING, optional=True)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.floats(), st.decimals()))
def test_every_row_falls_into_one_of_three_parts(raw: Any) -> None:
    for declared in (True, "not null", ["a", "b"]):
        flag = flag_of(DeleteFlag.model_validate({"field": "gone", "is": declared}), "crm")
        assert flag is not None
        parts = parted(flag, [(1, None, "x", raw)])
        assert sum(len(part) for part in parts) == 1


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"field": "gone", "is": []}, "write true, not null, or the values that mean deleted"),
        ({"field": "gone", "is": None}, "write true, not null, or the values that mean deleted"),
        ({"field": "gone", "is": [True, "x"]}, "write true or false alone"),
        ({"field": "gone", "is": ["not null", "x"]}, "write not null alone"),
        ("is_deleted = true", "{field: is_deleted, is: true}"),
        ("deleted_at is not null", "{field: deleted_at, is: not null}"),
        ({"field": "gone", "is": "notnull"}, "write not null if any value means deleted"),
        (True, "write the name of the field that marks deleted records"),
        (["a"], "write the name of the field that marks deleted records"),
    ],
)
def test_a_flag_that_says_nothing_is_refused_with_what_to_write(declared: object, said: str) -> None:
    with pytest.raises(ValidationError, match="deleted") as refused:
        Binding.model_validate({"collection": "c", "key": "id", "deleted": declared})
    assert said in str(refused.value)


def test_the_name_of_a_boolean_field_is_enough() -> None:
    binding = Binding.model_validate({"collection": "c", "key": "id", "deleted": "is_deleted"})
    assert binding.deleted == DeleteFlag(field="is_deleted")
    spec = binding.spec("thing", ["name"], zone=None)
    assert (spec.fields, spec.deleted, spec.keys_only().fields) == (
        ("name", "is_deleted"),
        "is_deleted",
        ("is_deleted",),
    )
    assert spec.keys_only().keys_alone
    assert not spec.keys_alone
