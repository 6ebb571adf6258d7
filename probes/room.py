"""Memory for responses in progress: how much all of them together may take in this process.

Each response has its own limit, and a daemon reads many at once: with ten servers that send as much as they may, the
limits add up. Large responses therefore take turns. Small ones, nearly all of them, never wait.

A response needs room twice: for its received bytes, and for their decoded form, which may be many times larger. A
response that is being decoded never waits for more room, so those that wait for its room always get it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from probes.allocator import Tidier
from probes.contract import ProbeError, Reason

SMALL_BYTES = 1024 * 1024
"""A response of at most this size is not counted: one for each of a daemon's threads is acceptable, and reading
records by the hundred must not wait for other large responses."""

RECEIVED_BYTES = 48 * 1024 * 1024
"""Bytes of all incoming responses: three of the largest over HTTP (16 MiB), each held twice while its parts are
joined."""

DECODED_BYTES = 96 * 1024 * 1024
"""Memory of all responses that are being decoded and examined. The largest possible one is slightly larger (500,000
values of JSON) and therefore runs alone. Together with what audits keep of earlier responses, a daemon stays within
300 MiB above its idle memory."""

ABANDONED_S = 10.0
"""A response's room is given to others this long after its call should have ended: its reader hangs in a driver and
must not block them forever."""


@dataclass(slots=True, eq=False)
class Guest:
    """A response that needs room.

    Attributes:
        until: when its call must have ended, in monotonic seconds.
        size: how much room it has.
    """

    until: float
    size: int = 0
    _waits: bool = field(default=False, init=False)


class Room:
    """A number of bytes, shared by responses.

    The first one never waits, even beyond the size, so that at least one always progresses. Others get the rest
    unless an earlier one is waiting.

    Args:
        size: how many bytes.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._guests: list[Guest] = []
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """How much is taken now."""
        with self._changed:
            return sum(guest.size for guest in self._guests)

    def take(self, guest: Guest, size: int) -> bool:
        """Give a guest this much room in total, waiting for it until the guest's deadline.

        Returns:
            Whether it has it; otherwise it keeps what it had.
        """
        if size <= max(guest.size, SMALL_BYTES):
            return True
        with self._changed:
            if guest not in self._guests:
                self._guests.append(guest)
            guest._waits = True
            try:
                while not self._admits(guest, size):
                    left = guest.until - self._clock()
                    if left <= 0:
                        return False
                    self._changed.wait(min(left, self._next_abandoned()))
                guest.size = size
                return True
            finally:
                guest._waits = False
                if not guest.size:
                    self._guests.remove(guest)
                self._changed.notify_all()

    def leave(self, guest: Guest) -> None:
        """Give back all that a guest has."""
        with self._changed:
            guest.size = 0
            if guest in self._guests and not guest._waits:
                self._guests.remove(guest)
                self._changed.notify_all()

    def _admits(self, guest: Guest, size: int) -> bool:
        present = [each for each in self._guests if each is guest or not self._abandoned(each)]
        before = present[: present.index(guest)]
        others = sum(each.size for each in present if each is not guest)
        return not before or (others + size <= self._size and not any(each._waits for each in before))

    def _abandoned(self, guest: Guest) -> bool:
        return self._clock() >= guest.until + ABANDONED_S

    def _next_abandoned(self) -> float:
        """The longest time until an abandoned guest's room no longer counts."""
        now = self._clock()
        left = [guest.until + ABANDONED_S - now for guest in self._guests if not self._abandoned(guest)]
        return min((each for each in left if each > 0), default=ABANDONED_S)


TIDIED_S = 2.0
"""Time between two clean-ups after large responses, each of which blocks all threads for some 50 ms."""

RECEIVED = Room(RECEIVED_BYTES)
DECODED = Room(DECODED_BYTES)
TIDIER = Tidier(TIDIED_S)


class Share:
    """The memory of one call: for each of its threads, the response that it reads."""

    def __init__(self, received: Room = RECEIVED, decoded: Room = DECODED) -> None:
        self._received = received
        self._decoded = decoded
        self._answers: dict[int, tuple[Guest, Guest]] = {}
        self._bytes: dict[int, int] = {}
        self._ended = False
        self._guard = threading.Lock()

    def begin(self) -> None:
        """Start this thread's next response: it is done with the one before."""
        self._leave(threading.get_ident())

    def came(self, size: int, until: float) -> None:
        """Count further received bytes of this thread's response.

        Args:
            until: when the call must have ended, in monotonic seconds.

        Raises:
            ProbeError: `over_budget` if there was no room for them until then.
        """
        me = threading.get_ident()
        self._bytes[me] = whole = self._bytes.get(me, 0) + size
        if whole > SMALL_BYTES:
            received, _ = self._guests(me, until)
            self._take(self._received, received, whole)

    def becomes(self, size: int, until: float, *, beside: bool = False) -> None:
        """Reserve memory for decoding this thread's response, including its bytes.

        Args:
            until: when the call must have ended, in monotonic seconds.
            beside: `size` does not include its bytes, which stay in memory as well.

        Raises:
            ProbeError: `over_budget` if there was no room for it until the deadline.
        """
        me = threading.get_ident()
        if size <= SMALL_BYTES and me not in self._answers:
            return
        received, decoded = self._guests(me, until)
        if size > decoded.size:
            self._decoded.leave(decoded)  # while waiting here, hold nothing that others wait for
        self._take(self._decoded, decoded, size)
        if not beside:
            self._received.leave(received)
            self._bytes.pop(me, None)

    def end(self) -> None:
        """End the call, and release all its room."""
        with self._guard:
            self._ended = True
        for thread in list(self._answers):
            self._leave(thread)
        TIDIER.tidy()

    def _guests(self, thread: int, until: float) -> tuple[Guest, Guest]:
        guests = self._answers.get(thread)
        if guests is None:
            guests = self._answers[thread] = (Guest(until), Guest(until))
            TIDIER.want()
        return guests

    def _leave(self, thread: int) -> None:
        self._bytes.pop(thread, None)
        guests = self._answers.pop(thread, None)
        if guests is not None:
            self._received.leave(guests[0])
            self._decoded.leave(guests[1])

    def _take(self, room: Room, guest: Guest, size: int) -> None:
        if not room.take(guest, size):
            raise too_much_at_once()
        with self._guard:
            if self._ended:  # a thread of a call that has ended without it
                room.leave(guest)


def too_much_at_once() -> ProbeError:
    """The error of a call with no room for its response before its deadline."""
    return ProbeError(
        Reason.OVER_BUDGET,
        f"too much is being read at once: answers of more than {SMALL_BYTES >> 20} MiB wait for each other, and this "
        "one did not get its turn before its deadline",
        hint="does a system or broker answer far more than it should? otherwise lower batch:, read less often, or "
        "raise the timeout",
    )
