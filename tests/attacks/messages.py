"""Messages, and what brokers tell of them, as whoever may publish or answer can make them.

What must hold wherever one of them is met: the queue is read in its time and memory, its depth stands, every other
letter is read as if this one were not there, and of this one everything is told that can be. What cannot be read of
it is told by `unreadable`, what it claims beyond the map by `note`; nothing that it names is ever followed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

GOOD_KEY = "7"
GOOD = json.dumps({"id": 7}).encode()
"""An ordinary message that stands among the attacks: its key is at `$.id`, and at `$..id`."""

BIG_BYTES = 900_000
"""As large as NATS takes a message by default; brokers that take more are given `HUGE_BYTES`."""

HUGE_BYTES = 10_000_000


def nested(levels: int, *, left: bytes = b'{"id":', right: bytes = b"}") -> bytes:
    """JSON that is nested so deep."""
    return left * levels + b"7" + right * levels


PAYLOADS: Mapping[str, bytes] = {
    "empty": b"",
    "no JSON": b"{broken",
    "no UTF-8": b'\xff\xfe{"id": 7}',
    "NUL": b"\0",
    "NUL in the key": b'{"id": "7\\u0000"}',
    "half of a surrogate pair as the key": b'{"id": "\\ud800"}',
    "surrogate bytes": b'{"id": "\xed\xa0\x80"}',
    "a text": b'"7"',
    "a text that holds JSON": json.dumps('{"id": 7}').encode(),
    "a text that is no JSON": b'"not JSON"',
    "a number": b"7",
    "null": b"null",
    "NaN": b'{"id": NaN}',
    "infinity": b'{"id": -Infinity}',
    "a number that expands to 10 MB": b'{"id": 1e10000000}',
    "a number that vanishes": b'{"id": 1e-10000000}',
    "a number of 5,000 digits": b'{"id": ' + b"9" * 5_000 + b"}",
    "a number with an exponent of 5,000 digits": b'{"id": 1e' + b"9" * 5_000 + b"}",
    "a name twice": b'{"id": 7, "id": 8}',
    "a name 1,000 times": b"{" + b",".join([b'"id": 7'] * 1_000) + b"}",
    "a key that is a table": b'{"id": {"id": []}}',
    "a key that is a list": b'{"id": [7]}',
    "a key that is true": b'{"id": true}',
    "a key that is empty": b'{"id": ""}',
    "a key of 3,000 characters": b'{"id": "' + b"k" * 3_000 + b'"}',
    "nested 150 deep": nested(150),
    "nested 900 deep": nested(900),
    "nested 990 deep": nested(990),
    "nested 100,000 deep": nested(100_000),
    "lists nested 900 deep": nested(900, left=b"[", right=b"]"),
    "lists nested 100,000 deep": nested(100_000, left=b"[", right=b"]"),
    "thousands of lists": b"[" + b",".join([b"[" * 90 + b"]" * 90] * 1_000) + b"]",
    "a long name before many items": b'{"' + b"k" * 100_000 + b'": [' + b",".join([b"{}"] * 50_000) + b"]}",
    "statements": b'{"id": "\'; DROP TABLE customers; --"}',
    "escape sequences": b'{"id": "\\u001b]0;owned\\u0007\\u202e"}',
    "large": b'{"filler": "' + b"x" * BIG_BYTES + b'", "id": 7}',
    "words of other languages": '{"id": "\u00fc\u5b57\U0001f600"}'.encode(),
}
"""Payloads by name; each fits a message of NATS."""

UNREADABLE: Mapping[str, str] = {
    "empty": "its payload is empty",
    "no JSON": "its payload is not JSON",
    "no UTF-8": "its payload is not JSON",
    "NUL": "its payload is not JSON",
    "surrogate bytes": "its key holds NUL or half of a surrogate pair",
    "NUL in the key": "its key holds NUL",
    "half of a surrogate pair as the key": "its key holds NUL or half of a surrogate pair",
    "NaN": "where JSON has no such number",
    "infinity": "where JSON has no such number",
    "a number that expands to 10 MB": "more than 4,000 digits",
    "a number that vanishes": "more than 4,000 digits",
    "a number of 5,000 digits": "more than 4,000 digits",
    "a number with an exponent of 5,000 digits": "more than 4,000 digits",
    "a name twice": "a key twice in one object",
    "a name 1,000 times": "a key twice in one object",
    "a key that is a table": "is a table and no key",
    "a key that is a list": "is a list and no key",
    "a key of 3,000 characters": "its key has more than 2,000 characters",
    "nested 150 deep": "is a table and no key",
    "nested 900 deep": "is a table and no key",
    "nested 990 deep": "",
    "nested 100,000 deep": "its payload is larger than",
    "lists nested 100,000 deep": "its payload is JSON nested deeper than",
    "large": "its payload is larger than",
}
"""What is said, with the key at `$.id`, of those that cannot be read whole; "" where that hangs on the machine."""

KEYS: Mapping[str, str] = {
    "a key that is true": "true",
    "statements": "'; DROP TABLE customers; --",
    "escape sequences": "\x1b]0;owned\x07\u202e",
    "words of other languages": "\u00fc\u5b57\U0001f600",
}
"""The keys that can be read at `$.id`, as they stand there."""

VALUES: Mapping[str, Any] = {
    "nothing": None,
    "true": True,
    "text": "many",
    "empty text": "",
    "digits of another script": "\u0661\u0662",
    "5,000 digits": "9" * 5_000,
    "negative": -1,
    "negative text": "-1",
    "half": 1.5,
    "beyond 32 bits": 2**31,
    "largest of 64 bits": 2**63 - 1,
    "smallest of 64 bits": -(2**63),
    "beyond 64 bits": 2**64,
    "1e300": 1e300,
    "NaN as text": "NaN",
    "infinity as text": "Infinity",
    "a list": [1, "two", None],
    "a table": {"count": 1},
    "nested": [[[[[[{"a": [{}]}]]]]]],
    "nested 60 deep": json.loads("[" * 60 + "]" * 60),
    "half of a surrogate pair": "\ud800",
    "NUL": "a\0b",
    "long": "x" * 5_000,
}
"""Where a count, an instant, a name or a table is expected; all of them are JSON."""

TIMES_S: Mapping[str, Any] = {
    "negative": -1,
    "before the calendar": -(2**60),
    "in milliseconds": 1_767_225_600_000,
    "in nanoseconds": 1_767_225_600_000_000_000,
    "the last year": 253_402_300_799,
    "beyond the calendar": 253_402_300_800,
    "largest of 64 bits": 2**63 - 1,
    "1e300": 1e300,
    "infinite": float("inf"),
    "no number": float("nan"),
    "400 digits": 10**400,
}
"""Seconds since 1970 that are no instant of a queue's; with the wrongly typed ones of `VALUES`."""

FIGURES: Mapping[str, Any] = {
    name: VALUES[name]
    for name in (
        *("nothing", "true", "text", "empty text", "digits of another script", "5,000 digits", "negative"),
        *("negative text", "half", "beyond 64 bits", "NaN as text", "infinity as text", "a list", "a table"),
    )
}
"""Where an API tells a depth: no one of them is a number of messages."""

DEATHS: Mapping[str, Any] = {
    "a number": 5,
    "a text": "rejected",
    "a table": {"reason": "rejected"},
    "a list of texts": ["rejected"],
    "empty": [],
    "wrongly typed": [{"reason": ["rejected"], "queue": {"a": 1}, "count": "many", "time": "yesterday"}],
    "beyond the calendar": [{"reason": "rejected", "queue": "orders", "count": 2, "time": 253_402_300_800_000}],
    "before the calendar": [{"reason": "rejected", "queue": "orders", "count": -1, "time": -(2**60)}],
    "a count beyond 32 bits": [{"reason": "rejected", "queue": "orders", "count": 2**40}],
    "of another queue": [{"reason": "rejected", "queue": "payroll", "count": 1, "time": 1_767_225_600}],
    "nested": [{"reason": "rejected", "queue": [[[[[[["orders"]]]]]]], "count": 1}],
    "a thousand": [{"reason": "rejected", "queue": f"q{at}", "count": at} for at in range(1_000)],
}
"""`x-death` as any client can write it; each of them is JSON."""

HEADERS: Mapping[str, Any] = {
    "a list": ["a", "b"],
    "a text": "a: b",
    "a number": 5,
    "nothing": None,
    "a thousand": {f"name{at}": "x" * 1_000 for at in range(1_000)},
    "names that are bytes": {b"\xff": b"\xfe", b"id": b"7"},
    "names that are no text": {1: 2, None: None, ("a",): {"b"}},
    "nested 900 deep": {"deep": json.loads("[" * 900 + "]" * 900)},
    "a wide table": {"wide": {str(at): at for at in range(200_000)}},
    "a number that Python does not write": {"id": 10**5_000},
}
"""Fields as a driver might give them."""

ADVISORIES: Mapping[str, Mapping[str, Any]] = {
    **{f"a sequence that is {name}": {"stream_seq": value} for name, value in VALUES.items()},
    "a sequence of 0": {"stream_seq": 0},
    **{f"a stream that is {name}": {"stream": VALUES[name]} for name in ("nothing", "a list", "a table", "NUL")},
    **{f"a consumer that is {name}": {"consumer": VALUES[name]} for name in ("nothing", "a list", "empty text")},
    "a stream with a wildcard": {"stream": "*"},
    "a stream that is a path": {"stream": "../orders"},
    "a stream that is a subject": {"stream": "ORDERS.new"},
}
"""What a whole advisory of NATS is changed to; a value of "..." would stand for a field that is left out."""

FORGED: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "another stream": lambda other: {"stream": other},
    "another consumer": lambda other: {"consumer": other},
    "another stream and consumer": lambda other: {"stream": other, "consumer": other},
}
"""What an advisory claims of a stream that the map does not name: it is noted and never followed."""

SECRET = "secret-of-another-stream"
"""What stands in the message that a forged claim points to: it must be met nowhere."""
