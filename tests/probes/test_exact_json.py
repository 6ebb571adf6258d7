"""JSON read exactly, and what stands where it says nothing certain."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jsonpath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.exact_json import (
    MAX_DIGITS,
    TOO_DEEP,
    VALUES_LIMIT,
    TooDeepError,
    TooManyError,
    Undecodable,
    decode,
    decode_shallow,
    encode,
)
from probes.queues.message import Message

LONG = "90071992547409931.25"


def test_numbers_keep_all_of_their_digits() -> None:
    found = decode(f'{{"total": {LONG}, "count": 9007199254740993, "small": 1e-30}}')
    assert found == {"total": Decimal(LONG), "count": 9007199254740993, "small": Decimal("1e-30")}
    assert isinstance(found["count"], int)


@pytest.mark.parametrize(
    "number", ["1e10000000", "-1E-10000000", "9" * 5000, f"0.{'1' * 20_000}", "1e99999999999999999999"]
)
def test_a_number_is_never_expanded_and_spoils_only_itself(number: str) -> None:
    found = decode(f'{{"id": 5, "total": {number}}}')
    assert found["id"] == 5
    assert isinstance(found["total"], Undecodable)
    assert f"{MAX_DIGITS:,} digits" in found["total"].reason


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_have_is_not_read(token: str) -> None:
    found = decode(f"[1, {token}]")
    assert found[0] == 1
    assert isinstance(found[1], Undecodable)


@pytest.mark.parametrize("path", ["$.a", "$.a.x", "$.a[0]", "$.a[*].x", "$.a.x.y.z", "$..x"])
def test_no_path_leads_through_a_key_that_is_there_twice(path: str) -> None:
    found = decode('{"id": 1, "a": {"x": 1}, "b": [{"a": 2}], "a": {"x": 2}}')
    assert found["id"] == 1
    assert all(isinstance(each, Undecodable) for each in jsonpath.findall(path, found))
    assert jsonpath.findall(path, found)


@pytest.mark.parametrize("text", ["", "{", b"\xff", "tru", '{"a": 1}}'])
def test_what_is_not_json_raises_one_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        decode(text)


def test_what_is_nested_too_deeply_is_not_said_to_be_no_json() -> None:
    with pytest.raises(TooDeepError, match="JSON nested deeper than 200 levels"):
        decode("[" * 5_000 + "]" * 5_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
@settings(deadline=None)
def test_what_has_one_meaning_is_read_as_everywhere(document: object) -> None:
    assert decode(json.dumps(document)) == document


@given(
    st.recursive(
        JSON | st.decimals(allow_nan=False, allow_infinity=False, places=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    ),
    st.sampled_from([0, 2]),
)
@settings(deadline=None)
def test_what_is_written_is_read_again_digit_for_digit(document: object, indent: int) -> None:
    assert decode(encode(document, indent=indent)) == document


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (f'{{"id": {LONG}}}', LONG),
        ('{"id": 17.0}', "17"),
        ('{"id": 1e3}', "1000"),
        ('{"id": 90071992547409931234567}', "90071992547409931234567"),
        ('{"id": 1, "id": 2}', None),
        ('{"id": 1e10000000}', None),
        ('{"id": NaN}', None),
    ],
)
def test_a_letter_names_its_record_exactly_or_not_at_all(payload: str, key: str | None) -> None:
    assert Message({}, payload).find("$.id") == key


def test_what_is_nested_too_deeply_hides_nothing_beside_it() -> None:
    deep = b'{"a":' * 5_000 + b'"]}\\""' + b"}" * 5_000
    text = b'[{"id": 1}, {"headers": ' + deep + b', "id": 2}, {"id": 3, "text": "[[["}]'
    with pytest.raises(TooDeepError):
        decode(text)
    first, second, third = decode_shallow(text)
    assert (first["id"], second["id"], third) == (1, 2, {"id": 3, "text": "[[["})
    found = second["headers"]
    while not isinstance(found, Undecodable):
        found = found["a"]
    assert found.reason == TOO_DEEP
    for broken in (b"[" * 5_000, b"[" * 5_000 + b"]" * 4_999, b"]" * 5_000, deep + b"}", b'{"a": ' + deep):
        with pytest.raises(ValueError, match="not JSON"):
            decode_shallow(broken)


def test_what_is_read_takes_bounded_memory() -> None:
    part = VALUES_LIMIT // 20
    text = b"{" + b",".join(b'"%x":1.5' % at for at in range(part)) + b"}"
    tracemalloc.start()
    try:
        assert len(decode(text)) == part
        grown = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert grown * 20 < 250 * 1024 * 1024


@pytest.mark.parametrize("read", [decode, decode_shallow])
def test_a_document_of_millions_of_values_is_not_read(read: Callable[[bytes], Any]) -> None:
    for each in (b"[],", b"{},", b"1,", b'"",'):
        with pytest.raises(TooManyError, match="more than 500,000 values"):
            read(b"[" + each * VALUES_LIMIT + b"0]")
    commas = b'["' + b",[{" * VALUES_LIMIT + b'"]'  # in a text they are no values
    assert len(read(commas)[0]) == 3 * VALUES_LIMIT


@pytest.mark.parametrize("read", [decode, decode_shallow])
@pytest.mark.parametrize("text", [b'["' + b'\\"' * 4_000_000, b'["\\', b'"', b"[" + b'"' * 3_000_001])
def test_a_text_without_an_end_is_read_once(read: Callable[[bytes], Any], text: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        read(text)
