"""The memory that all answers under way share: only who came first goes beyond it, and nobody waits for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.call_deadline import becomes, came, within
from probes.contract import ProbeError, Reason
from probes.exact_json import VALUES_LIMIT, weight
from probes.room import ABANDONED_S, DECODED, RECEIVED, SMALL_BYTES, Guest, Room, Share
from tests.http_api import Api

MIB = 1024 * 1024
SIZE = 10 * MIB
LONG_S = 60.0


def _guest(seconds: float = LONG_S) -> Guest:
    return Guest(time.monotonic() + seconds)


def _aside(room: Room, guest: Guest, size: int) -> tuple[threading.Thread, list[bool]]:
    """Take in a thread of its own, which waits."""
    had: list[bool] = []
    thread = threading.Thread(target=lambda: had.append(room.take(guest, size)), daemon=True)
    thread.start()
    while not guest._waits and not had:
        time.sleep(0.001)
    return thread, had


def test_a_small_answer_never_waits_and_is_not_counted() -> None:
    room = Room(SIZE)
    assert room.take(_guest(), SIZE)
    assert room.take(_guest(0), SMALL_BYTES)
    assert room.taken == SIZE


def test_a_large_answer_waits_until_there_is_room() -> None:
    room, first, second = Room(SIZE), _guest(), _guest()
    assert room.take(first, 8 * MIB)
    thread, had = _aside(room, second, 8 * MIB)
    assert had == []
    room.leave(first)
    thread.join(LONG_S)
    assert had == [True]
    assert room.taken == 8 * MIB


def test_nobody_overtakes_one_that_waits() -> None:
    room, first, second, third = Room(SIZE), _guest(), _guest(), _guest(0)
    assert room.take(first, 5 * MIB)
    thread, had = _aside(room, second, 8 * MIB)
    assert not room.take(third, 2 * MIB)
    room.leave(first)
    thread.join(LONG_S)
    assert had == [True]


def test_a_wait_ends_at_its_deadline_and_keeps_what_it_had() -> None:
    room, first, second = Room(SIZE), _guest(), _guest()
    assert room.take(first, 5 * MIB)
    assert room.take(second, 4 * MIB)
    second.until = time.monotonic()
    assert not room.take(second, 6 * MIB)
    assert room.taken == 9 * MIB
    assert room.take(first, 20 * MIB)  # who came first gets on, beyond the size
    assert room.taken == 24 * MIB


def test_answers_that_all_need_more_do_not_wait_for_each_other() -> None:
    room, first, second = Room(SIZE), _guest(), _guest()
    assert room.take(first, 5 * MIB)
    assert room.take(second, 5 * MIB)
    thread, had = _aside(room, second, 8 * MIB)
    assert room.take(first, 8 * MIB)
    room.leave(first)
    thread.join(LONG_S)
    assert had == [True]


def test_what_an_abandoned_reader_holds_is_given_to_others() -> None:
    now = 0.0
    room = Room(SIZE, clock=lambda: now)
    assert room.take(Guest(until=30.0), 20 * MIB)
    now = 30.0 + ABANDONED_S
    assert room.take(Guest(until=now), SIZE)
    assert room.take(Guest(until=now), 2 * MIB) is False


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 2 * SIZE))), max_size=60))
def test_only_who_came_first_goes_beyond_the_room(steps: list[tuple[int, int | None]]) -> None:
    room = Room(SIZE)
    guests = [Guest(until=0.0) for _ in range(6)]  # who has to wait is told so at once
    room._clock = lambda: 0.0
    arrived: list[Guest] = []
    for at, size in steps:
        guest = guests[at]
        before = guest.size
        if size is None:
            room.leave(guest)
            arrived = [each for each in arrived if each is not guest]
        elif room.take(guest, size):
            assert guest.size == (size if size > max(before, SMALL_BYTES) else before)
            arrived += [guest] if guest.size and guest not in arrived else []
        else:
            assert guest.size == before
        held = [each.size for each in arrived]
        assert room.taken == sum(held)
        assert sum(held) <= SIZE or sum(held[1:]) <= SIZE


def test_many_threads_all_get_their_turn() -> None:
    room = Room(SIZE)

    def answer(at: int) -> bool:
        guest = _guest()
        had = all(room.take(guest, part * MIB) for part in range(2, 5 + at % 6))
        room.leave(guest)
        return had

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(answer, range(200)))
    assert room.taken == 0


def test_a_call_gives_back_what_it_held_however_it_ends() -> None:
    def fails() -> None:
        with within(LONG_S):
            came(5 * MIB)
            assert RECEIVED.taken == 5 * MIB
            becomes(30 * MIB)
            assert (RECEIVED.taken, DECODED.taken) == (0, 30 * MIB)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert DECODED.taken == 0


def test_a_call_without_room_ends_with_a_named_error() -> None:
    received = Room(SIZE)
    assert received.take(_guest(), SIZE)
    share = Share(received=received)
    share.came(MIB // 2, until=0.0)
    with pytest.raises(ProbeError, match="too much is being read at once") as caught:
        share.came(MIB, until=0.0)
    assert caught.value.reason is Reason.OVER_BUDGET
    assert caught.value.hint


def test_a_thread_of_a_call_that_has_ended_holds_nothing() -> None:
    received = Room(SIZE)
    share = Share(received=received)
    share.end()
    share.came(5 * MIB, until=time.monotonic() + LONG_S)
    assert received.taken == 0


@pytest.mark.parametrize("text", [b"[]", b"[" + b"0," * 2 * VALUES_LIMIT + b"0]", '["ä"]'.encode() * 1_000])
def test_the_weight_of_a_document_is_bounded_by_its_values(text: bytes) -> None:
    assert 2 * len(text) <= weight(text) <= 5 * len(text) + 220 * VALUES_LIMIT


AT_ONCE = 6
GROWN_MIB = 300
READERS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from probes.allocator import give_memory_back
give_memory_back()
from probes.contract import ReadSpec
from probes.records.rest.client import RestClient
from probes.records.rest.request_template import Asked
from probes.call_deadline import within
from probes.secrets import Scrubber

url, count = sys.argv[1], int(sys.argv[2])
peak = lambda: next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
client = RestClient(url, Scrubber(()), {}, verify=True, timeout_s=300, connections=count)

def read(_):
    with within(300):
        document = client.ask(Asked(path="/things", query="", template="/things")).document
        return len(document)

before = peak()
with ThreadPoolExecutor(count) as pool:
    met = list(pool.map(read, range(count)))
print(json.dumps({"grown": peak() - before, "met": met}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process's memory")
def test_the_largest_answers_of_many_systems_at_once_stay_within_bounds() -> None:
    names = 300_000
    body = b"{" + b",".join(b'"%x": 1.5' % at for at in range(names)) + b"}"
    api = Api(lambda _: body)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READERS, api.url, str(AT_ONCE)], capture_output=True, text=True, timeout=600
        )
    finally:
        api.close()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["met"] == [names] * AT_ONCE
    assert told["grown"] < GROWN_MIB
