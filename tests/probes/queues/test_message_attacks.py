"""What any message at all becomes: a letter, or one that says what of it could not be read."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.json_paths import PathError, every, first
from probes.queue_contract import Letter
from probes.queues.message import (
    HEADER_LIMIT,
    PAYLOAD_SHOWN,
    TEXT_LIMIT,
    Message,
    MessageSettings,
    dropped_at,
    figure,
    instant_at,
    read_each,
    storable,
)
from tests.attacks import messages

PATHS = ("$.id", "$..id", "$[*].id", "$.*", "$..*..*..id", "$[?@.id > 3].id", "$.id | $.key", "field:id", None)

AT = datetime(2026, 3, 1, tzinfo=UTC)


def settings(key: str | None = "$.id", reason: str | None = None) -> MessageSettings:
    return MessageSettings.model_validate({"key": key, "reason": reason})


def sound(letter: Letter) -> None:
    """A letter that every ledger takes and that is not large."""
    texts = [letter.letter_id, letter.reason, letter.payload, letter.unreadable, letter.note]
    texts += [text for pair in letter.headers.items() for text in pair]
    for text in texts:
        assert text is None or isinstance(text, str)
        assert "\0" not in (text or "")
        (text or "").encode()
    assert len(letter.letter_id) <= TEXT_LIMIT
    assert len(letter.payload or "") <= PAYLOAD_SHOWN
    assert len(letter.headers) <= HEADER_LIMIT
    assert all(len(text) <= TEXT_LIMIT for pair in letter.headers.items() for text in pair)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", messages.PAYLOADS)
def test_every_payload_is_a_letter(name: str, path: str | None) -> None:
    payload = messages.PAYLOADS[name]
    letter = Message({}, payload).letter(settings(path, "$..error"), "1", attempts="3", first_failed_at=AT)
    sound(letter)
    assert (letter.letter_id, letter.attempts, letter.first_failed_at) == ("1", 3, AT)
    assert letter.payload is not None


@pytest.mark.parametrize("name", messages.PAYLOADS)
def test_what_cannot_be_read_of_a_payload_is_said_and_never_quoted(name: str) -> None:
    letter = Message({}, messages.PAYLOADS[name]).letter(settings(), "1")
    expected = messages.UNREADABLE.get(name)
    if expected is None:
        assert (letter.unreadable, letter.key) == ("", messages.KEYS.get(name) or letter.key)
        assert (letter.key is None) == (name not in messages.KEYS and name != "a key that is empty")
    else:
        assert expected in letter.unreadable
        assert letter.unreadable
        assert letter.key is None


@pytest.mark.parametrize("name", messages.HEADERS)
def test_every_kind_of_header_leaves_a_letter(name: str) -> None:
    letter = Message(messages.HEADERS[name], messages.GOOD).letter(settings(), "1")
    sound(letter)
    assert letter.key == messages.GOOD_KEY
    no_table = not isinstance(messages.HEADERS[name], dict)
    assert ("and no table" in letter.unreadable) == no_table


@pytest.mark.parametrize("name", messages.VALUES)
def test_every_value_of_a_field_is_a_key_or_says_why_not(name: str) -> None:
    value = messages.VALUES[name]
    letter = Message({"id": value}, None).letter(settings("field:id"), value, attempts=value)
    sound(letter)
    assert letter.attempts is None
    assert letter.key is None or letter.key == {True: "true", 1.5: "1.5", 1e300: "1e+300"}.get(value, str(value))
    assert letter.key is not None or letter.unreadable or value is None


@pytest.mark.parametrize("name", messages.TIMES_S)
def test_what_is_no_instant_of_a_queue_is_unknown(name: str) -> None:
    assert instant_at(messages.TIMES_S[name]) is None or name == "the last year"
    assert instant_at(messages.TIMES_S["the last year"]) is None, "beyond the calendar in another time zone"


@pytest.mark.parametrize("name", messages.VALUES)
def test_no_wrongly_typed_value_is_an_instant_a_figure_or_a_retention(name: str) -> None:
    value = messages.VALUES[name]
    assert instant_at(value) is None or name in {"half", "beyond 32 bits"}
    assert figure(value) is None or name in {"beyond 32 bits", "largest of 64 bits"}
    assert (figure(value) is None) or name not in messages.FIGURES
    for kept_s in (float("nan"), float("inf"), 1e300, -1e300):
        assert dropped_at(AT, kept_s) is None


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes()
    | st.sampled_from([Decimal("1e999999"), "\ud800", "\0", b"\xff", object(), set(), range(3)])
    | st.integers(4_000, 6_000).map(lambda digits: 10**digits)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.binary(), inner)
        | st.tuples(inner)
    ),
    max_leaves=15,
)


def _dumped(tree: Any) -> bytes:
    try:
        return json.dumps(tree, default=repr, skipkeys=True).encode("utf-8", "surrogatepass")
    except ValueError:  # a number that Python does not write
        return b"[]"


PAYLOADS = (
    st.none()
    | st.binary()
    | st.text(st.characters())
    | TREES.map(_dumped)
    | st.sampled_from(list(messages.PAYLOADS)).map(lambda name: messages.PAYLOADS[name])
)


@given(fields=TREES, payload=PAYLOADS, path=st.sampled_from(PATHS), attempts=TREES, identity=TREES, note=st.text())
def test_anything_at_all_is_a_letter(
    fields: Any, payload: Any, path: str | None, attempts: Any, identity: Any, note: str
) -> None:
    letter = Message(fields, payload).letter(
        settings(path, path), identity, reason=str(note), attempts=attempts, note=note
    )
    sound(letter)
    assert letter.key is None or len(str(letter.key)) <= 2_000
    assert storable(letter) == letter


@given(TREES, TREES)
def test_whatever_a_probe_took_over_is_made_storable(odd: Any, other: Any) -> None:
    made = Letter(letter_id=odd, reason=odd, attempts=other, first_failed_at=odd, last_failed_at=other, payload=other)
    sound(storable(made))


def test_a_key_is_whole_or_none_at_all() -> None:
    long = "k" * 600
    assert Message({"id": long}, None).letter(settings("field:id"), "1").key == long
    cut = Message({"id": "k" * 2_001}, None).letter(settings("field:id"), "1")
    assert (cut.key, cut.unreadable) == (None, "its key has more than 2,000 characters")


def test_a_message_that_cannot_be_read_keeps_none_of_its_neighbours_from_it() -> None:
    def read(each: str) -> Letter:
        if each == "bad":
            raise RuntimeError(f"what it says is {messages.SECRET}")
        return Letter(letter_id=each, key="7")

    found = read_each(["first", "bad", "last"], read, lambda each: each)
    assert [(letter.letter_id, letter.key) for letter in found] == [("first", "7"), ("bad", None), ("last", "7")]
    assert found[1].unreadable == "it could not be read (RuntimeError)"

    def nameless(_: str) -> NoReturn:
        raise KeyError(messages.SECRET)

    (letter,) = read_each(["bad"], read, nameless)
    assert letter.letter_id == "without an identity"


def test_a_page_ends_when_its_time_is_over_with_one_letter_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.queues.message.READ_S", -1.0)
    assert len(read_each(["a", "b"], lambda each: Letter(letter_id=each), lambda each: each)) == 1


@pytest.mark.parametrize("path", ["$.*[*]", "$..*", "$.*[*].id"])
def test_a_path_keeps_nothing_of_the_nodes_that_it_passes(path: str) -> None:
    document: dict[str, Any] = {"k" * 100_000: [{} for _ in range(20_000)]}
    tracemalloc.start()
    try:
        every(path, document)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50_000_000, "the library itself keeps 100,000 characters for each of 20,000 nodes"


def test_a_path_looks_at_so_many_nodes_and_no_more() -> None:
    with pytest.raises(PathError, match="more places to look"):
        first("$..*..*..id", json.loads(messages.PAYLOADS["thousands of lists"]))
    with pytest.raises(PathError, match="nested deeper than 100 levels"):
        first("$..id", json.loads(messages.nested(300, left=b'{"a":')))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.a[*].id", [3, 4]),
        ("$..id", [3, 4]),
        ("$.a[?@.id > 3].id", [4]),
        ("$.a[0:1]", [{"id": 3}]),
        ("$.a[0].id | $.b", [3, 7]),
        ("$.a[*].id & $.a[1].id", [4]),
        ("$.~", ["a", "b"]),
        ("^[?@.b].b", [7]),
        ("$.none", []),
    ],
)
def test_paths_find_what_the_library_finds(path: str, found: list[Any]) -> None:
    from jsonpath import compile as compile_path

    document = {"a": [{"id": 3}, {"id": 4}], "b": 7}
    assert every(path, document) == compile_path(path).findall(document) == found
    assert first(path, document) == (found[0] if found else None)
    assert every("$.id", '{"id": 7}') == [], "a text is no document"
