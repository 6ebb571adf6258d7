"""Times of day, durations, bytes, bits, addresses, arrays, ranges: equal is what means the same, and nothing else."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.differences import shape_of
from checks.equality import agree
from checks.field_text import plain, text_of
from checks.fields import FieldRule, parser_for
from checks.unreadable import UnreadableError
from probes.contract import Bits, Labels


def read(raw: Any, **words: Any) -> Any:
    return parser_for(FieldRule.model_validate(words), "crm", "UTC")(raw)


SAME: list[tuple[dict[str, Any], list[Any]]] = [
    ({"type": "time"}, ["10:00:00", "10:00", time(10), timedelta(hours=10), "10:00:00.000", b"10:00:00"]),
    ({"type": "time"}, ["24:00:00", timedelta(days=1)]),
    ({"type": "time"}, ["10:00:00.123456", "10:00:00.123456000"]),
    ({"type": "time"}, ["10:00:00+02", "10:00:00+02:00", "10:00 +0200", time.fromisoformat("10:00+02:00")]),
    ({"type": "time"}, ["10:00:00Z", "10:00:00+00", "10:00:00 UTC"]),
    (
        {"type": "duration"},
        ["1 day 02:00:00", "26:00:00", "P1DT2H", timedelta(hours=26), "PT93600S", "1 day 2:00:00"],
    ),
    ({"type": "duration"}, ["-838:59:59.5", "-PT838H59M59.5S", "PT-838H-59M-59.5S"]),
    ({"type": "duration"}, ["1 year 2 mons", "14 months", "P1Y2M", "P14M"]),
    ({"type": "duration"}, ["1 mon -3 days +04:05:06", "P1M-3DT4H5M6S"]),
    ({"type": "duration"}, ["00:00:00", "PT0S", timedelta(0), "0 days"]),
    ({"type": "duration", "unit": {"crm": "ms"}}, ["00:00:01.5", 1500, "1500", Decimal("1500.0"), 1500.0]),
    ({"type": "bytes"}, [b"\x00\xff", "\\x00ff", "\\x00FF", memoryview(b"\x00\xff")]),
    ({"type": "bytes", "encoding": {"crm": "base64"}}, [b"\x00\xff\xfe", "AP/+", "AP_-", "AP/+\n"]),
    ({"type": "bytes", "encoding": {"crm": "hex"}}, [b"\x00\xff", "00ff", "0x00FF"]),
    ({"type": "bits"}, [Bits("0101"), "0101"]),
    ({"type": "integer"}, [Bits("0101"), 5, "5"]),
    ({"type": "decimal"}, [Bits("0101"), 5, "5.0"]),
    ({"type": "boolean"}, [Bits("1"), True]),
    ({"type": "boolean", "map": {"crm": {"J": "true", "N": "false"}}}, [Bits("1"), "J"]),
    ({"type": "network"}, ["10.0.0.1", "10.0.0.1/32", ip_address("10.0.0.1")]),
    ({"type": "network"}, ["2001:db8::1", "2001:0DB8:0:0:0:0:0:1", "2001:db8::1/128"]),
    ({"type": "network"}, ["10.0.0.0/8", "10.0.0.0/255.0.0.0"]),
    ({"type": "mac"}, ["08:00:2b:01:02:03", "08-00-2B-01-02-03", "0800.2b01.0203", "08002b010203"]),
    ({"type": "array"}, ["[1, 2.50, null]", [1, Decimal("2.5"), None], (1, 2.5, None)]),
    ({"type": "array"}, ['[["a","b"],["c","d"]]', [["a", "b"], ["c", "d"]]]),
    ({"type": "array", "items": "timestamp"}, ['["2026-01-01 10:00:00+00"]', ["2026-01-01T11:00:00+01:00"]]),
    ({"type": "array", "items": "decimal", "unordered": True}, ["[1, 2.0]", ["2", "1.00"]]),
    ({"type": "range", "items": "integer"}, ["[1,5)", "[1,4]", "(0,5)", "(0,4]", "{[1,5)}"]),
    ({"type": "range", "items": "date"}, ["[2026-01-01,2026-02-01)", "[2026-01-01,2026-01-31]"]),
    ({"type": "range", "items": "decimal"}, ["[1.0,2.50)", "[1,2.5)"]),
    ({"type": "range", "items": "timestamp"}, ['["2026-01-01 00:00:00+00",)', '["2026-01-01 01:00:00+01",)']),
    ({"type": "range"}, ["empty", "{}"]),
    ({"type": "range", "items": "integer"}, ["empty", "[3,3)", "(3,4)"]),
    ({"type": "range", "items": "integer"}, ["{[1,2),[4,)}", "{[1,1], [4,)}"]),
    ({"type": "set"}, [Labels("a,b"), ["b", "a"], '["a","b"]', "b;a"]),
]


@pytest.mark.parametrize(("words", "raws"), SAME)
def test_forms_that_mean_the_same_are_equal(words: dict[str, Any], raws: list[Any]) -> None:
    assert {repr(read(raw, **words)) for raw in raws} == {repr(read(raws[0], **words))}


DIFFERENT: list[tuple[dict[str, Any], list[Any]]] = [
    (
        {"type": "time"},
        ["10:00:00", "10:00:00.000001", "10:00:00Z", "10:00:00+01", "22:00:00", "00:00:00", "24:00:00"],
    ),
    ({"type": "duration"}, ["30 days", "1 mon", "00:00:00.000001", "-00:00:00.000001", "P1Y", "P360D"]),
    ({"type": "bytes"}, [b"", b"\x00", b"\x00\x00", b"a", b"A"]),
    ({"type": "bits"}, ["0", "00", "01", "1", ""]),
    ({"type": "network"}, ["10.0.0.1", "10.0.0.1/24", "10.0.0.0/24", "::ffff:10.0.0.1"]),
    ({"type": "mac"}, ["08:00:2b:01:02:03", "08:00:2b:01:02:04", "08:00:2b:ff:fe:01:02:03"]),
    ({"type": "array"}, ["[]", "[null]", "[1]", '["1"]', "[[1]]", "[1,2]", "[2,1]", "[true]", "[0]"]),
    ({"type": "range"}, ["[1,2)", "(1,2)", "[1,2]", "[1,)", "(,2)", "empty", "{[1,2),[3,4)}", "(,)"]),
]


@pytest.mark.parametrize(("words", "raws"), DIFFERENT)
def test_forms_that_mean_something_else_differ(words: dict[str, Any], raws: list[Any]) -> None:
    rule = FieldRule.model_validate(words)
    found = [read(raw, **words) for raw in raws]
    for at, one in enumerate(found):
        assert all(not agree(rule, one, other) for other in found[at + 1 :])
        for other in found[at + 1 :]:
            shape_of(rule, one, other)


UNREADABLE: list[tuple[dict[str, Any], list[Any]]] = [
    (
        {"type": "time"},
        ["24:00:00.000001", "-01:00:00", "838:59:59", "10:61", "10:00:00.0000001", 5, "x", "", b"\xff"],
    ),
    ({"type": "duration"}, [5, True, "", "x", "P", "PT", "1", "1 fortnight", "PT" + "9" * 5000 + "S", b"\xff"]),
    ({"type": "duration", "unit": {"crm": "s"}}, [Decimal("1e100000"), float("nan"), "1e9", Decimal("0.0000001")]),
    ({"type": "bytes"}, ["AP8=", "00ff", 5, "\\x0"]),
    ({"type": "bytes", "encoding": {"crm": "base64"}}, ["A", "é", "AP=8"]),
    ({"type": "bits"}, ["012", 5, None, "B'1'"]),
    ({"type": "network"}, ["10.0.0", "10.0.0.256", "x", 5, "10.0.0.1/33"]),
    ({"type": "mac"}, ["08:00:2b:01:02", "x", 5]),
    ({"type": "array"}, ["{1,2}", "1", 5, '{"a": 1}', '[{"a": 1, "a": 2}]', "[" * 5000 + "]" * 5000]),
    ({"type": "array", "items": "integer"}, ["[1.5]", '["x"]']),
    ({"type": "range"}, ["[1,2", "1,2", "[1,2)[3,4)", "[1,2),[3,4)", 5, "", "{[1,2)x}"]),
    ({"type": "range", "items": "integer"}, ["[a,b)"]),
    ({"type": "integer"}, [Bits("1" * 20_000)]),
]


@pytest.mark.parametrize(("words", "raws"), UNREADABLE)
def test_what_is_no_such_value_cannot_be_read(words: dict[str, Any], raws: list[Any]) -> None:
    for raw in raws:
        with pytest.raises(UnreadableError):
            read(raw, **words)


def test_times_and_durations_agree_at_the_precision_of_their_field() -> None:
    for type_ in ("time", "duration"):
        rule = FieldRule.model_validate({"type": type_, "precision": "s"})
        one, other = (read(text, type=type_) for text in ("10:00:01", "10:00:00.6"))
        assert agree(rule, one, other)
        assert not agree(rule, one, read("10:00:02.6", type=type_))
    offset = FieldRule(type="time", precision="s")
    assert agree(offset, read("10:00:01+02", type="time"), read("10:00:00.6+02", type="time"))
    assert not agree(offset, read("10:00:01+02", type="time"), read("10:00:01+01", type="time"))
    assert not agree(offset, read("10:00:01+02", type="time"), read("10:00:01", type="time"))


@pytest.mark.parametrize(
    ("words", "raw", "text", "as_python"),
    [
        ({"type": "time"}, "09:05:03.5-01:30", "09:05:03.5-01:30", "09:05:03.5-01:30"),
        ({"type": "duration"}, "1 mon 00:00:01.5", "1 months 1.5 s", "1 months 1.5 s"),
        ({"type": "bytes"}, b"\x00\xff", "\\x00ff", "\\x00ff"),
        ({"type": "array"}, '[1, [true, null, "x"]]', '[1, [true, null, "x"]]', [1, [True, None, "x"]]),
        ({"type": "array", "items": "time"}, '[["9:05"], null]', '[["09:05:00"], null]', [["09:05:00"], None]),
        ({"type": "range", "items": "integer"}, "[1,4]", "{[1,5)}", "{[1,5)}"),
        ({"type": "mac"}, "08002B010203", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ],
)
def test_values_are_told_as_people_read_them(words: dict[str, Any], raw: Any, text: str, as_python: Any) -> None:
    rule = FieldRule.model_validate(words)
    value = read(raw, **words)
    assert text_of(rule, value) == text
    assert plain(rule, value) == as_python


def test_items_of_arrays_are_no_arrays_themselves() -> None:
    with pytest.raises(ValidationError, match="items cannot be array"):
        FieldRule.model_validate({"type": "array", "items": "array"})


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.binary(),
    st.timedeltas(),
    st.times(),
    st.lists(st.one_of(st.integers(), st.text(), st.none())),
    st.from_regex(r"[\[(]\"?[0-9a-z]*\"?,[0-9]*[\])]"),
    st.from_regex(r"-?P(\d+Y)?(\d+D)?(T\d+S)?"),
    st.from_regex(r"\d+:\d\d(:\d\d(\.\d+)?)?([+-]\d\d)?"),
)


@pytest.mark.parametrize("type_", ["time", "duration", "bytes", "bits", "network", "mac", "array", "range"])
@settings(deadline=None)
@given(raw=ANYTHING)
def test_every_parser_answers_or_says_that_it_cannot(type_: str, raw: Any) -> None:
    rule = FieldRule.model_validate({"type": type_})
    try:
        value = parser_for(rule, "crm", None)(raw)
    except UnreadableError:
        return
    text_of(rule, value)
    plain(rule, value)
    assert agree(rule, value, value)
