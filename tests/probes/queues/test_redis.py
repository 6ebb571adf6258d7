"""Queues in a real Redis: streams, their groups, lists; and nothing of it is touched."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.message import (
    HEADER_LIMIT,
    PAYLOAD_LIMIT,
    PAYLOAD_SHOWN,
    TEXT_LIMIT,
    Message,
    MessageSettings,
    checked,
)
from probes.queues.redis import LIST_BYTES, RedisProbe, RedisSettings
from tests.attacks import messages
from tests.probes.harness import assert_told


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    connected = redis.Redis.from_url(redis_url)
    connected.flushall()
    yield connected
    connected.close()


def probe(url: str, **words: Any) -> RedisProbe:
    return RedisProbe(RedisSettings.model_validate({"kind": "redis", "url": url, "name": "letters", **words}))


def test_keeps_to_the_contract(redis_url: str) -> None:
    assert isinstance(probe(redis_url), QueueProbe)


def test_a_stream_of_dead_letters_is_told_oldest_first(redis_url: str, client: Any) -> None:
    for number in range(5):
        client.xadd("letters", {"payload": json.dumps({"customer": {"id": number}}), "error": f"no {number}"})
    client.xdel("letters", client.xrange("letters")[0][0])
    reading = probe(redis_url, key="$.customer.id", reason="field:error").read(2)
    assert (reading.depth, reading.arrived, reading.taken, reading.truncated) == (4, 5, 1, True)
    assert [(letter.key, letter.reason) for letter in reading.letters] == [("1", "no 1"), ("2", "no 2")]
    assert reading.oldest_at is not None
    assert abs((datetime.now(UTC) - reading.oldest_at).total_seconds()) < 120


def test_what_a_group_was_given_too_often_is_dead(redis_url: str, client: Any) -> None:  # D: Redis Streams
    client.xgroup_create("letters", "workers", id="0", mkstream=True)
    for number in range(6):
        client.xadd("letters", {"id": f"cus_{number}"})
    client.xreadgroup("workers", "one", {"letters": ">"}, count=4)
    stuck = [identity for identity, _ in client.xrange("letters")[:2]]
    for _ in range(3):
        client.xclaim("letters", "workers", "two", 0, stuck)
    before = client.info("commandstats")["cmdstat_xclaim"]["calls"]
    pending = client.xpending_range("letters", "workers", "-", "+", 10)
    of = {"group": "workers", "key": "field:id", "deliveries": 4}
    reading = probe(redis_url, **of).read(10)
    assert (reading.depth, reading.truncated, reading.age_of) == (2, False, "since it was added to the stream")
    assert [(letter.key, letter.attempts) for letter in reading.letters] == [("cus_0", 4), ("cus_1", 4)]
    waiting = probe(redis_url, role="main", **of).read(10)
    assert (waiting.depth, waiting.arrived, waiting.taken, waiting.letters) == (6, 6, 0, ())
    after = client.xpending_range("letters", "workers", "-", "+", 10)
    assert [each["times_delivered"] for each in after] == [each["times_delivered"] for each in pending]
    assert client.info("commandstats")["cmdstat_xclaim"]["calls"] == before


def test_a_list_is_read_from_its_oldest_end_and_does_not_tell_its_age(redis_url: str, client: Any) -> None:
    for number in range(4):
        client.lpush("letters", json.dumps({"id": number}))
    reading = probe(redis_url, key="$.id").read(2)
    assert (reading.depth, reading.oldest_at, reading.truncated, reading.next) == (4, None, False, None)
    assert [letter.key for letter in reading.letters] == ["0", "1", "2", "3"]
    assert "does not tell how old" in reading.notes[0]
    assert probe(redis_url, key="$.id", oldest="head").read(1).letters[0].key == "3"
    assert client.llen("letters") == 4


def test_what_is_not_there_yet_is_empty_and_said(redis_url: str, client: Any) -> None:
    reading = probe(redis_url).read(5)
    assert (reading.depth, reading.missing) == (0, "there is no key letters: empty, or misspelt")
    client.lpush("letters", "{}")
    assert probe(redis_url).read(0).missing == ""


def test_wrong_names_logins_and_types_are_named_errors(redis_url: str, client: Any) -> None:
    client.set("text", "x")
    client.xadd("letters", {"a": "b"})
    for words, reason, said in (
        ({"name": "text"}, Reason.QUERY, "is a string and no stream or list"),
        ({"group": "nobody"}, Reason.QUERY, "no group nobody"),
    ):
        with pytest.raises(ProbeError, match=said) as caught:
            probe(redis_url, **words).read(5)
        assert caught.value.reason is reason
    with pytest.raises(ProbeError) as caught:
        probe(redis_url.replace("secret-of-redis", "wrong-secret")).read(5)
    assert caught.value.reason is Reason.AUTH
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(ProbeError) as caught:
        probe("redis://127.0.0.1:1").read(5)
    assert caught.value.reason is Reason.UNREACHABLE


def test_ten_thousand_letters_and_a_huge_one_stay_bounded(redis_url: str, client: Any) -> None:
    pipe = client.pipeline()
    pipe.xadd("letters", {"payload": json.dumps({"id": 1, "filler": "x" * 10_000_000})})
    for number in range(10_000):
        pipe.xadd("letters", {"payload": b'{"id": %d}' % number})
    pipe.xadd("letters", {"payload": b"\xff\xfe not text", "error": b"\xff"})
    pipe.execute()
    reading = probe(redis_url, key="$.id", reason="field:error").read(500)
    assert (reading.depth, len(reading.letters), reading.letters[0].key) == (10_002, 500, None)


@given(st.binary(max_size=300))
def test_any_payload_is_read_or_unknown(payload: bytes) -> None:
    found = Message({}, payload).find("$.id")
    assert found is None or isinstance(found, str)


def test_places_that_lead_nowhere_are_refused_or_unknown() -> None:
    for wrong in ("id", "$.["):
        with pytest.raises(ValueError, match="JSONPath"):
            checked(wrong)
    message = Message({"a": b"\xffx", "flag": True}, '{"id": {"deep": 1}, "n": null}')
    assert (message.find("field:a"), message.find("field:flag"), message.find("field:b")) == ("\ufffdx", "true", None)
    assert (message.find("$.id"), message.find("$.id.deep"), message.find("$.n")) == (None, "1", None)
    assert Message({}, "[" * 100_000).find("$.id") is None
    assert Message({}, "1" * (PAYLOAD_LIMIT + 1)).find("$") is None


def test_letters_are_read_page_by_page(redis_url: str, client: Any) -> None:
    for number in range(25):
        client.xadd("letters", {"id": number})
    client.xgroup_create("letters", "workers", id="0")
    client.xreadgroup("workers", "one", {"letters": ">"})
    for words in ({}, {"group": "workers", "deliveries": 1}):
        asked = probe(redis_url, **{"key": "field:id", **words})
        keys: list[Any] = []
        after, more = None, True
        while more:
            reading = asked.read(10, after)
            keys += [letter.key for letter in reading.letters]
            after, more = reading.next, reading.truncated
        assert keys == [str(number) for number in range(25)], words
        assert asked.read(0).letters == ()
    mark = probe(redis_url).read(0).left_mark
    client.xadd("letters", {"id": 99})
    assert probe(redis_url).read(0).left_mark == mark
    client.xdel("letters", client.xrange("letters")[0][0])
    assert probe(redis_url).read(0).left_mark != mark


def test_the_same_message_twice_in_a_list_is_two_letters(redis_url: str, client: Any) -> None:
    client.rpush("letters", "{}", "{}", "[]")
    identities = [letter.letter_id for letter in probe(redis_url).read(5).letters]
    assert len(set(identities)) == 3
    client.lpop("letters")
    assert {letter.letter_id for letter in probe(redis_url).read(5).letters} < set(identities)


def test_what_the_login_may_do_is_told(redis_url: str, client: Any) -> None:
    assert probe(redis_url).prove_read_only() == "sends commands that read alone; default may write"
    client.execute_command("ACL", "SETUSER", "looker", "on", ">pw", "~*", "+@read", "+acl|whoami", "+acl|dryrun")
    looker = redis_url.replace(":secret-of-redis", "looker:pw")
    assert probe(looker).prove_read_only() == "sends commands that read alone; looker may not write"
    client.execute_command("ACL", "SETUSER", "looker", "-acl")
    assert "it may not ask" in probe(looker).prove_read_only()


def test_headers_and_payload_are_bounded(redis_url: str, client: Any) -> None:  # a header bomb
    client.xadd("letters", {"payload": "ü" * 100_000, **{f"h{number}": "x" * 5_000 for number in range(500)}})
    (letter,) = probe(redis_url).read(5).letters
    assert len(letter.headers) == HEADER_LIMIT
    assert max(len(value) for value in letter.headers.values()) == TEXT_LIMIT
    assert letter.payload is not None
    assert 0 < len(letter.payload) <= PAYLOAD_SHOWN
    assert Message({}, b"\xff" * 10).text() == "10 bytes that are no text"
    assert Message({}, None).text() is None


def test_many_huge_letters_are_read_in_bounded_memory(redis_url: str, client: Any) -> None:
    huge = json.dumps({"id": 1, "filler": "x" * 4_000_000})
    for _ in range(40):
        client.xadd("letters", {"payload": huge})
    tracemalloc.start()
    reading = probe(redis_url, key="$.id", timeout="60s").read(1_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(reading.letters), reading.truncated) == (40, False)
    assert peak < 120_000_000, "160 MB of letters"


@given(st.text(), st.binary(max_size=50))
def test_what_is_kept_of_any_message_every_database_can_keep(text: str, raw: bytes) -> None:
    message = Message({text: raw, "error": text + "\0\ud800"}, json.dumps({"id": text + "\0\ud800"}).encode())
    letter = message.letter(MessageSettings(key="$.id", reason="field:error"), text)
    assert letter.key is None, "what had to be changed would be the key of another record"
    for kept in (
        letter.reason,
        letter.letter_id,
        letter.payload,
        *letter.headers,
        *letter.headers.values(),
    ):
        assert "\0" not in str(kept)
        assert str(kept).encode().decode() == kept


def test_a_stream_whose_latest_letter_was_sent_again_is_seen_whole(redis_url: str, client: Any) -> None:
    for number in range(3):
        client.xadd("letters", {"id": number})
    client.xdel("letters", client.xrevrange("letters", count=1)[0][0])
    reading = probe(redis_url, key="field:id").read(10)
    assert ([letter.key for letter in reading.letters], reading.truncated) == (["0", "1"], False)


@pytest.mark.usefixtures("patient")
def test_a_list_of_huge_letters_is_read_in_bounded_memory(redis_url: str, client: Any) -> None:
    for _ in range(60):
        client.rpush("letters", "x" * 4_000_000)
    reading = probe(redis_url).read(100)
    assert (reading.depth, reading.truncated) == (60, True)
    assert 10 < len(reading.letters) < 20


@pytest.mark.parametrize("kind", ["stream", "group", "list at the head", "list at the tail"])
@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(redis_url: str, client: Any, kind: str) -> None:
    made = [*messages.PAYLOADS.values(), b"x" * messages.HUGE_BYTES, messages.GOOD]
    for payload in made:
        if kind == "list at the tail":
            client.lpush("letters", payload)
        elif kind == "list at the head":
            client.rpush("letters", payload)
        else:
            client.xadd(
                "letters", {"payload": payload, b"\xff": b"\xff", "x-death": "[[[", "error": payload[:10_000]}
            )
    words: dict[str, Any] = {"oldest": "head"} if kind == "list at the head" else {}
    if kind == "group":
        client.xgroup_create("letters", b"\xff\xfe", id="0")  # a group that any client can make
        client.xgroup_create("letters", "workers", id="0")
        client.xreadgroup("workers", "one", {"letters": ">"}, count=10)
        client.xreadgroup("workers", "one", {"letters": ">"})
        every = [each["message_id"] for each in client.xpending_range("letters", "workers", "-", "+", 100)]
        client.execute_command("XCLAIM", "letters", "workers", "one", 0, *every, "RETRYCOUNT", 2**63 - 1, "TIME", 0)
        words = {"group": "workers", "deliveries": 3}
    for key in ("$.id", "$..id"):
        reading = probe(redis_url, key=key, reason="field:error", timeout="60s", **words).read(1_000)
        assert (reading.depth, len(reading.letters), reading.truncated) == (len(made), len(made), False)
        assert reading.letters[-1].key == messages.GOOD_KEY
        assert "its payload is larger than" in reading.letters[-2].unreadable
        if key == "$.id":
            assert_told(messages.PAYLOADS, reading.letters)
        assert {letter.attempts for letter in reading.letters} == {None}, "beyond what can be counted"


@pytest.mark.parametrize("identity", ["9223372036854775807-1", "18446744073709551615-5", "1-1"])
def test_an_identity_beyond_the_calendar_is_no_age(redis_url: str, client: Any, identity: str) -> None:
    client.xadd("letters", {"payload": b'{"id": 7}'}, id=identity)
    reading = probe(redis_url, key="$.id").read(5)
    assert (reading.depth, reading.letters[0].key, reading.letters[0].letter_id) == (1, "7", identity)
    assert (reading.oldest_at is None) == (identity != "1-1")


def test_a_group_placed_behind_the_end_has_no_depth_below_0(redis_url: str, client: Any) -> None:
    client.xadd("letters", {"id": 1})
    client.xgroup_create("letters", "workers", id="0")
    client.execute_command("XGROUP", "SETID", "letters", "workers", "5-0", "ENTRIESREAD", 2**40)
    reading = probe(redis_url, group="workers", role="main").read(0)
    assert reading.depth is None or reading.depth >= 0
    assert reading.taken is None or reading.taken >= 0


@pytest.mark.parametrize("oldest", ["head", "tail"])
def test_large_entries_behind_small_ones_are_asked_for_a_few_at_once(
    redis_url: str, client: Any, oldest: str
) -> None:
    push = client.rpush if oldest == "head" else client.lpush
    for number in range(40):
        push("letters", json.dumps({"id": number}))
    large = b"x" * messages.HUGE_BYTES
    for _ in range(35):
        push("letters", large)
    for number in range(40, 2_000):
        push("letters", json.dumps({"id": number}))
    tracemalloc.start()
    try:
        reading = probe(redis_url, key="$.id", oldest=oldest).read(1_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * LIST_BYTES, "all large ones together have 350 MB"
    assert (reading.depth, reading.truncated) == (2_035, True)
    assert [letter.key for letter in reading.letters[:40]] == [str(number) for number in range(40)]


def test_a_stream_of_large_entries_behind_small_ones_is_read_a_few_at_once(redis_url: str, client: Any) -> None:
    for number in range(400):
        client.xadd("letters", {"payload": json.dumps({"id": number})})
    large = b"x" * messages.HUGE_BYTES
    for _ in range(35):
        client.xadd("letters", {"payload": large})
    tracemalloc.start()
    try:
        reading = probe(redis_url, key="$.id", timeout="60s").read(1_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * LIST_BYTES, "all large ones together have 350 MB"
    assert (reading.depth, len(reading.letters)) == (435, 435)
