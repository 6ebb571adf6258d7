"""Room for answers under way: how much memory all of them may take in this process together.

Each answer has a limit of its own, and a daemon reads many at once: beside ten servers that send as much as they may,
the limits of all of them add up. Large answers therefore take turns. Small ones, which nearly all are, never wait.

An answer needs room twice: for its bytes, as they come in, and for what they become when they are decoded, which may
be many times as much. Whoever decodes never waits for more, so those who wait for its room always get it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from probes.allocator import Tidier
from probes.contract import ProbeError, Reason

SMALL_BYTES = 1024 * 1024
"""An answer that takes no more is not counted: so many as a daemon has threads are bearable, and reading records by
the hundred must not wait for anybody's large answers."""

RECEIVED_BYTES = 48 * 1024 * 1024
"""Bytes of all answers that are coming in: three of the largest over HTTP (16 MiB), each held twice where its parts
are put together."""

DECODED_BYTES = 96 * 1024 * 1024
"""What all answers come to that are being decoded and looked through. The most that one may come to is a little more
(500,000 values of JSON), so that such a one is alone. Beside it stands what audits keep of the answers before, and
with that a daemon stays within 300 MiB above what it takes in quiet."""

ABANDONED_S = 10.0
"""What an answer holds is given to others so long after its call should have ended: whoever reads it hangs in a
driver, and must not keep them waiting for ever."""


@dataclass(slots=True, eq=False)
class Guest:
    """An answer that needs room.

    Attributes:
        until: when its call must have ended, in monotonic seconds.
        size: how much it has.
    """

    until: float
    size: int = 0
    _waits: bool = field(default=False, init=False)


class Room:
    """So many bytes, shared by whoever needs them.

    Who came first is never kept waiting, even beyond the size, so that somebody always gets on. Others get what is
    left unless somebody waits who came before them.

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
        """Have a guest take so much altogether, waiting for it until the guest's deadline.

        Returns:
            Whether it has it. Where it has not, it keeps what it had.
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
        """How long to wait until what somebody holds counts no more, at the most."""
        now = self._clock()
        left = [guest.until + ABANDONED_S - now for guest in self._guests if not self._abandoned(guest)]
        return min((each for each in left if each > 0), default=ABANDONED_S)


TIDIED_S = 2.0
"""Between two looks for what large answers have left behind, each of which takes some 50 ms of all threads."""

RECEIVED = Room(RECEIVED_BYTES)
DECODED = Room(DECODED_BYTES)
TIDIER = Tidier(TIDIED_S)


class Share:
    """What one call takes of the process's memory: for each of its threads, the answer that this one reads."""

    def __init__(self, received: Room = RECEIVED, decoded: Room = DECODED) -> None:
        self._received = received
        self._decoded = decoded
        self._answers: dict[int, tuple[Guest, Guest]] = {}
        self._bytes: dict[int, int] = {}
        self._ended = False
        self._guard = threading.Lock()

    def begin(self) -> None:
        """This thread's next answer begins: it has done with the one before."""
        self._leave(threading.get_ident())

    def came(self, size: int, until: float) -> None:
        """So many more bytes of this thread's answer have come in.

        Args:
            until: when the call must have ended, in monotonic seconds.

        Raises:
            ProbeError: `over_budget` where there was no room for them until then.
        """
        me = threading.get_ident()
        self._bytes[me] = whole = self._bytes.get(me, 0) + size
        if whole > SMALL_BYTES:
            received, _ = self._guests(me, until)
            self._take(self._received, received, whole)

    def becomes(self, size: int, until: float, *, beside: bool = False) -> None:
        """This thread's answer is about to be decoded, into what takes about so much, its bytes counted in.

        Args:
            until: when the call must have ended, in monotonic seconds.
            beside: its bytes are not counted in, and stay in memory beside it.

        Raises:
            ProbeError: `over_budget` where there was no room for it until the deadline.
        """
        me = threading.get_ident()
        if size <= SMALL_BYTES and me not in self._answers:
            return
        received, decoded = self._guests(me, until)
        if size > decoded.size:
            self._decoded.leave(decoded)  # who waits here must hold nothing that others wait for
        self._take(self._decoded, decoded, size)
        if not beside:
            self._received.leave(received)
            self._bytes.pop(me, None)

    def end(self) -> None:
        """The call has ended, and with it whatever it held."""
        with self._guard:
            self._ended = True
        for thread in list(self._answers):
            self._leave(thread)
        TIDIER.tidy()

    def _guests(self, thread: int, until: float) -> tuple[Guest, Guest]:
        found = self._answers.get(thread)
        if found is None:
            found = self._answers[thread] = (Guest(until), Guest(until))
            TIDIER.want()
        return found

    def _leave(self, thread: int) -> None:
        self._bytes.pop(thread, None)
        found = self._answers.pop(thread, None)
        if found is not None:
            self._received.leave(found[0])
            self._decoded.leave(found[1])

    def _take(self, room: Room, guest: Guest, size: int) -> None:
        if not room.take(guest, size):
            raise too_much_at_once()
        with self._guard:
            if self._ended:  # a thread of a call that has ended without it
                room.leave(guest)


def too_much_at_once() -> ProbeError:
    """What a call ends with whose answer found no room before its deadline."""
    return ProbeError(
        Reason.OVER_BUDGET,
        f"too much is being read at once: answers of more than {SMALL_BYTES >> 20} MiB wait for each other, and this "
        "one did not get its turn before its deadline",
        hint="does a system or broker answer far more than it should? otherwise lower batch:, read less often, or "
        "raise the timeout",
    )
