"""Answers of HTTP servers that attack whoever asks: too much, without an end, too slowly, or no HTTP at all.

What must hold, for every client of HTTP in the product: the exchange ends with one named error, no later than its
deadline, and memory stays bounded. `bytes_of` makes what a server sends after it has read a request; it may be
without an end. `pause_s` is waited before each part: an answer with a pause drips.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What a server sends.

    Attributes:
        bytes_of: its parts; perhaps without an end.
        pause_s: what is waited before each part.
        reads_none: a sender of alerts, which reads no body of a success, calls it sent.
    """

    bytes_of: Callable[[], Iterable[bytes]]
    pause_s: float = 0.0
    reads_none: bool = False


@cache
def bomb() -> bytes:
    """Two gigabytes in two megabytes: a member of gzip, again and again."""
    return gzip.compress(bytes(16 * MIB)) * 128


def whole(head: bytes, body: bytes) -> list[bytes]:
    """An answer with its length."""
    return [head + b"Content-Length: %d\r\n\r\n" % len(body), body]


def endless(begin: bytes, again: bytes) -> Iterator[bytes]:
    """A beginning, and then the same for ever."""
    return itertools.chain([begin], itertools.repeat(again))


def packed(encoding: bytes, body: Callable[[], bytes]) -> Attack:
    """A body under an encoding that the server claims."""
    return Attack(bytes_of=lambda: whole(OK + b"Content-Encoding: " + encoding + b"\r\n", body()), reads_none=True)


def repeated(part: bytes, size: int) -> bytes:
    """So many bytes of it, in brackets."""
    return b"[" + (part * (size // len(part) + 1))[:size].rstrip(b",") + b"]"


FAST: Mapping[str, Attack] = {
    "gzip that stands for 2 GB": packed(b"gzip", bomb),
    "gzip in capitals": packed(b"GZIP", bomb),
    "x-gzip": packed(b"x-gzip", bomb),
    "gzip in gzip": packed(b"gzip, gzip", lambda: gzip.compress(bomb())),
    "gzip in gzip in gzip": packed(b"gzip,gzip,gzip", lambda: gzip.compress(gzip.compress(bomb()))),
    "two headers of encodings": packed(b"gzip\r\nContent-Encoding: gzip", lambda: gzip.compress(bomb())),
    "deflate": packed(b"deflate", lambda: zlib.compress(bytes(64 * MIB))),
    "br": packed(b"br", lambda: b"\x5b\xff\xff\x03" + bytes(1000)),
    "zstd": packed(b"zstd", lambda: b"\x28\xb5\x2f\xfd" + bytes(1000)),
    "an encoding that nobody knows": packed(b"plumb", lambda: bytes(1000)),
    "identity and gzip": packed(b"identity, gzip", bomb),
    "gzip that is cut": packed(b"gzip", lambda: gzip.compress(b"[]" * 1000)[:-9]),
    "gzip that is none": packed(b"gzip", lambda: b"[]" * 1000),
    "chunks without an end": Attack(
        bytes_of=lambda: endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"), reads_none=True
    ),
    "a body without an end": Attack(bytes_of=lambda: endless(OK + CLOSE + b"\r\n", b" " * 65536), reads_none=True),
    "ten terabytes": Attack(
        bytes_of=lambda: endless(OK + b"Content-Length: 10995116277760\r\n\r\n", b" " * 65536), reads_none=True
    ),
    "less than its length": Attack(bytes_of=lambda: [OK + b"Content-Length: 1000\r\n\r\n[]"], reads_none=True),
    "a negative length": Attack(bytes_of=lambda: [OK + b"Content-Length: -1\r\n\r\n[]"]),
    "a length of letters": Attack(bytes_of=lambda: [OK + b"Content-Length: many\r\n\r\n[]"]),
    "two lengths": Attack(bytes_of=lambda: [OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[] "]),
    "a chunk of 2^64 bytes": Attack(
        bytes_of=lambda: endless(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", b" " * 65536), reads_none=True
    ),
    "an extension of a chunk without an end": Attack(
        bytes_of=lambda: endless(CHUNKED + b"1;", b"x" * 65536), reads_none=True
    ),
    "trailers without an end": Attack(
        bytes_of=lambda: endless(CHUNKED + b"2\r\n[]\r\n0\r\n", b"x: y\r\n" * 10_000), reads_none=True
    ),
    "headers without an end": Attack(bytes_of=lambda: endless(OK, b"x: y\r\n" * 10_000)),
    "one header without an end": Attack(bytes_of=lambda: endless(OK + b"x: ", b"y" * 65536)),
    "a status without an end": Attack(bytes_of=lambda: endless(b"HTTP/1.1 200 ", b"O" * 65536)),
    "a storm of 100 Continue": Attack(bytes_of=lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)),
    "a storm of 103 Early Hints": Attack(
        bytes_of=lambda: itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000)
    ),
    "no HTTP": Attack(bytes_of=lambda: [b"\x00\xffno HTTP\r\n\r\n" * 100]),
    "nothing at all": Attack(bytes_of=lambda: []),
    "a text of quotes without an end": Attack(
        bytes_of=lambda: whole(OK, b'["' + b'\\"' * (4 * MIB)), reads_none=True
    ),
    "lists in lists": Attack(bytes_of=lambda: whole(OK, b"[" * (8 * MIB)), reads_none=True),
    "millions of empty lists": Attack(bytes_of=lambda: whole(OK, repeated(b"[],", 15 * MIB)), reads_none=True),
    "millions of empty tables": Attack(bytes_of=lambda: whole(OK, repeated(b"{},", 15 * MIB)), reads_none=True),
    "millions of numbers": Attack(bytes_of=lambda: whole(OK, repeated(b"1.5,", 15 * MIB)), reads_none=True),
    "millions of texts": Attack(bytes_of=lambda: whole(OK, repeated(b'"ab",', 15 * MIB)), reads_none=True),
    "no text": Attack(bytes_of=lambda: whole(OK, b"\xff\xfe" * 1000), reads_none=True),
}
"""Answers that come as fast as they can."""

SLOW: Mapping[str, Attack] = {
    "silence": Attack(bytes_of=lambda: itertools.repeat(b""), pause_s=0.05),
    "a status that drips": Attack(bytes_of=lambda: endless(b"HTTP/1.1 200 ", b"O"), pause_s=0.05),
    "headers that drip": Attack(bytes_of=lambda: endless(OK, b"x: y\r\n"), pause_s=0.05),
    "one header that drips": Attack(bytes_of=lambda: endless(OK + b"x: ", b"y"), pause_s=0.05),
    "100 Continue that drips": Attack(
        bytes_of=lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), pause_s=0.05
    ),
    "a body that drips": Attack(
        bytes_of=lambda: endless(OK + b"Content-Length: 100000\r\n\r\n", b" "), pause_s=0.05, reads_none=True
    ),
    "chunks that drip": Attack(bytes_of=lambda: endless(CHUNKED, b"1\r\n \r\n"), pause_s=0.05, reads_none=True),
    "a size of a chunk that drips": Attack(bytes_of=lambda: endless(CHUNKED, b"0"), pause_s=0.05, reads_none=True),
    "gzip that drips": Attack(
        bytes_of=lambda: endless(
            OK + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + gzip.compress(b"[]")[:10], b"\0"
        ),
        pause_s=0.05,
        reads_none=True,
    ),
    "trailers that drip": Attack(
        bytes_of=lambda: endless(CHUNKED + b"2\r\n[]\r\n0\r\n", b"x: y\r\n"), pause_s=0.05, reads_none=True
    ),
}
"""Answers that come a little at a time."""

ANSWERS: Mapping[str, Attack] = {**FAST, **SLOW}
