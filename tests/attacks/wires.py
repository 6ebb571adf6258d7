"""What a server may say on the wire, as bytes: answers of HTTP, and of every other protocol that we speak.

What must hold wherever one of them is met: the call ends by its deadline, with one named error or with what could be
read; memory stays bounded whatever the bytes stand for or go on to be; no text that is told holds the secrets that
were sent, or goes beyond a line.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What is said to whoever connects (and, of HTTP, has asked).

    Attributes:
        first: at once.
        again: after that, without end; b"" to go silent, None to hang up.
        every_s: the pause before each `again`.
        pieces: send `first` in pieces of so many bytes, with `every_s` between them.
    """

    first: bytes = b""
    again: bytes | None = None
    every_s: float = 0.0
    pieces: int = 0


def _answer(
    body: bytes = b"",
    *headers: str,
    status: str = "200 OK",
    length: str | None = None,
    type_: str = "application/json",
) -> bytes:
    told = [f"HTTP/1.1 {status}", f"Content-Type: {type_}", *headers]
    told.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(told).encode() + b"\r\n\r\n" + body


_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@cache
def _zeros(mib: int) -> bytes:
    """So many MiB of zeros, packed; whole files stand side by side, as gzip allows."""
    return gzip.compress(bytes(MIB), 9) * mib


@cache
def _deflated(mib: int) -> bytes:
    """So many MiB of zeros as one stream: a MiB is packed once, and stands in it again and again."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.flush()[:-4]
    adler = (mib * MIB % 65521) << 16 | 1  # of zeros alone
    return head + again * mib + end + adler.to_bytes(4, "big")


def _packed(body: bytes, encoding: str) -> bytes:
    return _answer(body, f"Content-Encoding: {encoding}")


HTTP: Mapping[str, Wire] = {
    # packed
    "gzip of 1 GiB": Wire(first=_packed(_zeros(1024), "gzip")),
    "gzip of gzip of 1 GiB": Wire(first=_packed(gzip.compress(_zeros(1024), 9), "gzip, gzip")),
    "gzip of gzip of 1 GiB, said once": Wire(first=_packed(gzip.compress(_zeros(1024), 9), "gzip")),
    "x-gzip of 1 GiB": Wire(first=_packed(_zeros(1024), "x-gzip")),
    "GZIP in capitals": Wire(first=_packed(_zeros(1024), "GZIP")),
    "deflate of 1 GiB": Wire(first=_packed(_deflated(1024), "deflate")),
    "brotli that nobody asked for": Wire(first=_packed(b"\x0b\x02\x80hello\x03", "br")),
    "zstd that nobody asked for": Wire(first=_packed(b"(\xb5/\xfd$\x00\x01\x00\x00", "zstd")),
    "an encoding of 5,000 letters": Wire(first=_packed(b"{}", "g" * 5_000)),
    "gzip cut off": Wire(first=_packed(gzip.compress(b'{"data": []}')[:-6], "gzip")),
    "gzip that is none": Wire(first=_packed(b"not gzip at all", "gzip")),
    "gzip and rubbish behind it": Wire(first=_packed(gzip.compress(b"{}") + b"rubbish", "gzip")),
    "chunks of gzip without end": Wire(
        first=_CHUNKED.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer"),
        again=b"%x\r\n" % len(_zeros(1)) + _zeros(1) + b"\r\n",
    ),
    # without end
    "a body without end": Wire(first=_UNTIL_CLOSED + b'{"data": [', again=b"0, " * 20_000),
    "blanks without end": Wire(first=_UNTIL_CLOSED, again=b" " * 65_536),
    "chunks without end": Wire(first=_CHUNKED, again=b"10000\r\n" + b"1" * 65_536 + b"\r\n"),
    "chunks of one byte without end": Wire(first=_CHUNKED, again=b"1\r\n1\r\n" * 5_000),
    "an error without end": Wire(first=b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n", again=b"no " * 20_000),
    "a refusal without end": Wire(first=b"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n", again=b"no " * 20_000),
    "headers without end": Wire(first=b"HTTP/1.1 200 OK\r\n", again=b"x-more: and more\r\n" * 1_000),
    "one header without end": Wire(first=b"HTTP/1.1 200 OK\r\nx-more: ", again=b"m" * 65_536),
    "a status line without end": Wire(first=b"HTTP/1.1 200 ", again=b"O" * 65_536),
    "informational answers without end": Wire(again=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a length of 10 GB": Wire(first=_answer(b"[", length="10000000000"), again=b"0," * 30_000),
    # slow
    "nothing at all": Wire(again=b""),
    "a byte every 0.2 s": Wire(first=_UNTIL_CLOSED, again=b" ", every_s=0.2),
    "headers a byte every 0.2 s": Wire(again=b"H", every_s=0.2),
    "a header every 0.2 s": Wire(first=b"HTTP/1.1 200 OK\r\n", again=b"x: y\r\n", every_s=0.2),
    "an error a byte every 0.2 s": Wire(
        first=b"HTTP/1.1 503 No\r\nConnection: close\r\n\r\n", again=b"n", every_s=0.2
    ),
    "a chunk every 0.2 s": Wire(first=_CHUNKED, again=b"1\r\n \r\n", every_s=0.2),
    "a whole answer in drops": Wire(first=_answer(b'{"data": []}'), pieces=1, every_s=0.1),
    "a promise that is not kept": Wire(first=_answer(b'{"data"', length="5000"), again=b""),
    # hung up
    "hung up at once": Wire(),
    "hung up in the headers": Wire(first=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "hung up in the body": Wire(first=_answer(b'{"data"', length="5000")),
    "hung up in a chunk": Wire(first=_CHUNKED + b"ff\r\n{"),
    # no HTTP
    "rubbish": Wire(first=b"\x00\xff" * 500),
    "another protocol": Wire(first=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a TLS alert": Wire(first=b"\x15\x03\x01\x00\x02\x02\x28"),
    "no status": Wire(first=b"HTTP/1.1\r\n\r\n"),
    "status 99999": Wire(first=b"HTTP/1.1 99999 What\r\nContent-Length: 0\r\n\r\n"),
    "status 000": Wire(first=b"HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n"),
    "a negative length": Wire(first=_answer(b"{}", length="-1")),
    "a length that is none": Wire(first=_answer(b"{}", length="many")),
    "two lengths": Wire(first=_answer(b"{}", "Content-Length: 1")),
    "a chunk of 2^64 bytes": Wire(first=_CHUNKED + b"ffffffffffffffff\r\n{", again=b"{" * 65_536),
    "a chunk of -1 bytes": Wire(first=_CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n"),
    # strange bodies
    "empty": Wire(first=_answer(b"")),
    "204": Wire(first=b"HTTP/1.1 204 No Content\r\n\r\n"),
    "null": Wire(first=_answer(b"null")),
    "a login page": Wire(first=_answer(b"<html><form action=/login>", type_="text/html")),
    "NUL": Wire(first=_answer(b"\0" * 1_000)),
    "no UTF-8": Wire(first=_answer(b'{"data": "\xff\xfe"}')),
    "UTF-16": Wire(first=_answer('{"data": []}'.encode("utf-16"))),
    "nested 100,000 deep": Wire(first=_answer(b"[" * 100_000 + b"]" * 100_000)),
    "tables nested 100,000 deep": Wire(first=_answer(b'{"data":' * 100_000 + b"1" + b"}" * 100_000)),
    "a number of 10 million digits": Wire(first=_answer(b'{"data": ' + b"9" * 10_000_000 + b"}")),
    "a number that expands to 10 MB": Wire(first=_answer(b'{"data": [{"id": 1e10000000, "n": 1e10000000}]}')),
    "a million numbers": Wire(first=_answer(b"[" + b"0," * 1_000_000 + b"0]")),
    "a million lists": Wire(first=_answer(b"[" + b"[]," * 1_000_000 + b"0]")),
    "two million records": Wire(first=_answer(b'{"data": [' + b'{"id":1},' * 1_500_000 + b'{"id":1}]}')),
    "as many names and numbers as are read": Wire(
        first=_answer(b"{" + b",".join(b'"%x": 1.5' % at for at in range(490_000)) + b"}")
    ),
    "as many records as are read": Wire(first=_answer(b'{"data": [' + b'{"id":1},' * 245_000 + b'{"id":1}]}')),
    "a name twice": Wire(first=_answer(b'{"data": [], "data": [{"id": 1}]}')),
    "an error that quotes escape sequences": Wire(
        first=_answer(b"\x1b]0;owned\x07\x1b[2J\r\nnext line", status="500 \x1b[31mNo", type_="text/plain")
    ),
    # waits and ways
    "Retry-After of 1e300": Wire(first=_answer(b"", "Retry-After: 1e300", status="429 Later")),
    "Retry-After of inf": Wire(first=_answer(b"", "Retry-After: inf", status="503 Later")),
    "Retry-After of nan": Wire(first=_answer(b"", "Retry-After: nan", status="429 Later")),
    "Retry-After of -1": Wire(first=_answer(b"", "Retry-After: -1", status="429 Later")),
    "Retry-After of 5,000 digits": Wire(first=_answer(b"", f"Retry-After: {'9' * 5_000}", status="429 Later")),
    "Retry-After in the year 9999": Wire(
        first=_answer(b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", status="503 Later")
    ),
    "Retry-After beyond the calendar": Wire(
        first=_answer(b"", "Retry-After: Sat, 01 Jan 99999 00:00:00 GMT", status="503 Later")
    ),
    "a Date beyond the calendar": Wire(first=_answer(b"[]", "Date: Sat, 01 Jan 99999 00:00:00 GMT")),
    "a Date of 1601": Wire(first=_answer(b"[]", "Date: Mon, 01 Jan 1601 00:00:00 GMT")),
    "a Date that is none": Wire(first=_answer(b"[]", "Date: soon")),
    "a redirect elsewhere": Wire(first=_answer(b"", "Location: http://169.254.169.254/x", status="302 Found")),
    "a redirect to a file": Wire(first=_answer(b"", "Location: file:///etc/passwd", status="301 Moved")),
    "a redirect of 100,000 letters": Wire(first=_answer(b"", f"Location: /{'x' * 100_000}", status="307 Go")),
    "a login asked for": Wire(first=_answer(b"", 'WWW-Authenticate: Basic realm="\x1b[2J"', status="401 Who")),
}
"""By name; the first bytes of an answer to any request."""

ANY: Mapping[str, Wire] = {
    "nothing at all": Wire(again=b""),
    "hung up at once": Wire(),
    "rubbish": Wire(first=b"\x00\xff" * 500),
    "rubbish without end": Wire(again=b"\x00\xff\x7f\x80" * 16_384),
    "zeros without end": Wire(again=bytes(65_536)),
    "ones without end": Wire(again=b"\xff" * 65_536),
    "letters without end": Wire(again=b"A" * 65_536),
    "lines without end": Wire(again=b"+OK\r\n" * 10_000),
    "a byte every 0.2 s": Wire(again=b"\x00", every_s=0.2),
    "a letter every 0.2 s": Wire(again=b"R", every_s=0.2),
    "a line every 0.2 s": Wire(again=b"\r\n", every_s=0.2),
    "a web server": Wire(first=_answer(b"<html>", status="400 Bad Request", type_="text/html")),
    "another protocol": Wire(first=b"SSH-2.0-OpenSSH_9.2\r\n", again=b""),
    "a TLS alert": Wire(first=b"\x15\x03\x01\x00\x02\x02\x28", again=b""),
}
"""Said by a server of any protocol."""


def _postgresql(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    return kind + struct.pack(">i", len(body) + 4 if length is None else length) + body


_WELCOME = (
    _postgresql(b"R", struct.pack(">i", 0))
    + _postgresql(b"S", b"server_version\x0015.0\x00")
    + _postgresql(b"S", b"client_encoding\x00UTF8\x00")
    + _postgresql(b"S", b"standard_conforming_strings\x00on\x00")
    + _postgresql(b"K", struct.pack(">ii", 7, 7))
    + _postgresql(b"Z", b"I")
)

POSTGRESQL: Mapping[str, Wire] = {
    "a message of 2 GB": Wire(first=_postgresql(b"R", b"", 2**31 - 1), again=bytes(65_536)),
    "a message of -1 bytes": Wire(first=_postgresql(b"R", b"", -1), again=b""),
    "a message of 0 bytes": Wire(first=_postgresql(b"R", b"", 0), again=b""),
    "an error without end": Wire(first=b"E" + struct.pack(">i", 2**30), again=b"Mno\x00" * 16_384),
    "an error of 1 MB": Wire(first=_postgresql(b"E", b"SFATAL\x00C28000\x00M" + b"no " * 300_000 + b"\x00\x00")),
    "an error with escape sequences": Wire(
        first=_postgresql(b"E", b"SFATAL\x00C28000\x00M\x1b]0;owned\x07\x1b[2J\nnext line\x00\x00")
    ),
    "a login of an unknown kind": Wire(first=_postgresql(b"R", struct.pack(">i", 99)), again=b""),
    "a login with SASL of nothing": Wire(first=_postgresql(b"R", struct.pack(">i", 10) + b"\x00"), again=b""),
    "notices without end": Wire(first=_WELCOME, again=_postgresql(b"N", b"SNOTICE\x00Mhello\x00\x00") * 500),
    "settings without end": Wire(first=_WELCOME, again=_postgresql(b"S", b"x\x00y\x00") * 2_000),
    "welcome, then silence": Wire(first=_WELCOME, again=b""),
    "rows that nobody asked for, without end": Wire(
        first=_WELCOME + _postgresql(b"T", b"\x00\x01a\x00" + struct.pack(">ihihih", 0, 0, 25, -1, -1, 0)),
        again=_postgresql(b"D", b"\x00\x01" + struct.pack(">i", 1_000) + b"x" * 1_000) * 50,
    ),
}


def _mysql(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


MARIADB: Mapping[str, Wire] = {
    "a packet of 16 MB": Wire(first=b"\xff\xff\xff\x00", again=bytes(65_536)),
    "packets of 16 MB without end": Wire(again=b"\xff\xff\xff\x00" + bytes(65_532)),
    "an empty packet": Wire(first=_mysql(0, b""), again=b""),
    "empty packets without end": Wire(again=_mysql(0, b"") * 10_000),
    "an error of 1 MB": Wire(first=_mysql(0, b"\xff\x15\x04#28000" + b"no " * 300_000)),
    "an error with escape sequences": Wire(first=_mysql(0, b"\xff\x15\x04#28000\x1b]0;owned\x07\x1b[2J\nnext line")),
    "a version without end": Wire(first=b"\x00\x00\x10\x00\x0a", again=b"5" * 65_536),
    "a protocol of another age": Wire(first=_mysql(0, b"\x09" + b"3.23\x00" + bytes(20)), again=b""),
    "a greeting cut off": Wire(first=_mysql(0, b"\x0a5.5.5-10.11.6-MariaDB\x00\x01\x00")),
    "a greeting, then silence": Wire(
        first=_mysql(
            0,
            b"\x0a5.5.5-10.11.6-MariaDB\x00" + struct.pack("<I", 7) + b"12345678\x00" + b"\xfe\xf7\x2d\x02\x00"
            b"\xff\x81\x15" + bytes(6) + struct.pack("<I", 7) + b"123456789012\x00mysql_native_password\x00",
        ),
        again=b"",
    ),
}

REDIS: Mapping[str, Wire] = {
    "a text of 2 GB": Wire(first=b"$2147483647\r\n", again=b"x" * 65_536),
    "a text of 10^30 bytes": Wire(first=b"$" + b"1" + b"0" * 30 + b"\r\n", again=b"x" * 65_536),
    "a text of -5 bytes": Wire(first=b"$-5\r\n", again=b""),
    "a list of 2^31 items": Wire(first=b"*2147483647\r\n", again=b":1\r\n" * 10_000),
    "lists in lists without end": Wire(again=b"*1\r\n" * 10_000),
    "an error of 1 MB": Wire(first=b"-ERR " + b"no " * 300_000 + b"\r\n", again=b""),
    "an error without end": Wire(first=b"-ERR ", again=b"no " * 20_000),
    "a number of 5,000 digits": Wire(first=b":" + b"9" * 5_000 + b"\r\n", again=b""),
    "a kind that is none": Wire(first=b"?what\r\n", again=b""),
    "numbers without end": Wire(again=b":1\r\n" * 10_000),
    "an error with escape sequences": Wire(first=b"-ERR \x1b]0;owned\x07\x1b[2J\r\n" * 20, again=b""),
}


def _mongodb(body: bytes, *, kind: int = 2013, length: int | None = None) -> bytes:
    return struct.pack("<iiii", len(body) + 16 if length is None else length, 1, 1, kind) + body


def _bson(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


_HELLO = (
    b"\x08ismaster\0\x01",
    b"\x10maxWireVersion\0" + struct.pack("<i", 25),
    b"\x10minWireVersion\0" + struct.pack("<i", 0),
    b"\x01ok\0" + struct.pack("<d", 1.0),
)
_REPLY = struct.pack("<iqii", 8, 0, 0, 1)

MONGODB: Mapping[str, Wire] = {
    "a message of 2 GB": Wire(first=_mongodb(b"", length=2**31 - 1), again=bytes(65_536)),
    "a message of -1 bytes": Wire(first=_mongodb(b"", length=-1), again=b""),
    "a message of 0 bytes": Wire(first=_mongodb(b"", length=0), again=b""),
    "a message of 17 bytes": Wire(first=_mongodb(b"\0"), again=b""),
    "an answer of 30 MB": Wire(first=_mongodb(b"", kind=1, length=30_000_000), again=bytes(65_536)),
    "packed, which nobody asked for": Wire(
        first=_mongodb(struct.pack("<iib", 2013, 2**30, 2) + zlib.compress(bytes(MIB), 9), kind=2012), again=b""
    ),
    "a kind of message that is none": Wire(first=_mongodb(bytes(50), kind=4711), again=b""),
    "messages without end": Wire(again=_mongodb(_REPLY + _bson(*_HELLO), kind=1) * 100),
    "a greeting, then silence": Wire(first=_mongodb(_REPLY + _bson(*_HELLO), kind=1), again=b""),
    "a greeting cut off": Wire(first=_mongodb(_REPLY + _bson(*_HELLO), kind=1)[:60]),
    "a greeting of a server of another age": Wire(
        first=_mongodb(_REPLY + _bson(b"\x08ismaster\0\x01", b"\x01ok\0" + struct.pack("<d", 1.0)), kind=1), again=b""
    ),
    "a greeting with a million values": Wire(
        first=_mongodb(_REPLY + _bson(*_HELLO, b"\x0aa\0" * 1_000_000), kind=1), again=b""
    ),
    "a greeting that is no BSON": Wire(first=_mongodb(_REPLY + b"\xff" * 100, kind=1), again=b""),
    "no document at all": Wire(first=_mongodb(struct.pack("<iqii", 8, 0, 0, 0), kind=1), again=b""),
    "an error with escape sequences": Wire(
        first=_mongodb(
            _REPLY
            + _bson(
                b"\x01ok\0" + struct.pack("<d", 0.0),
                b"\x02errmsg\0" + struct.pack("<i", 26) + b"\x1b]0;owned\x07\x1b[2J\nnext line\0",
            ),
            kind=1,
        ),
        again=b"",
    ),
}

NATS: Mapping[str, Wire] = {
    "INFO without end": Wire(first=b'INFO {"server_id": "', again=b"x" * 65_536),
    "INFO that is no JSON": Wire(first=b"INFO {no}\r\n", again=b""),
    "INFO that is a list": Wire(first=b"INFO [1]\r\n", again=b""),
    "INFO with a number that expands": Wire(first=b'INFO {"max_payload": 1e10000000}\r\n', again=b""),
    "INFO nested 100,000 deep": Wire(first=b"INFO " + b"[" * 100_000 + b"\r\n", again=b""),
    "INFO, then silence": Wire(first=b'INFO {"server_id":"x","max_payload":1048576}\r\n', again=b""),
    "INFO, then errors without end": Wire(
        first=b'INFO {"server_id":"x","max_payload":1048576}\r\n', again=b"-ERR 'no'\r\n" * 1_000
    ),
    "INFO, then pings without end": Wire(
        first=b'INFO {"server_id":"x","max_payload":1048576}\r\n', again=b"PING\r\n" * 10_000
    ),
    "INFO that names other servers": Wire(
        first=b'INFO {"server_id":"x","max_payload":1048576,"connect_urls":["169.254.169.254:4222"]}\r\n', again=b""
    ),
    "a message of 2 GB": Wire(
        first=b'INFO {"server_id":"x","max_payload":1048576}\r\nPONG\r\nMSG a 1 2147483647\r\n', again=b"x" * 65_536
    ),
    "an error with escape sequences": Wire(
        first=b'INFO {"server_id":"x"}\r\n-ERR \'\x1b]0;owned\x07\x1b[2J\'\r\n', again=b""
    ),
}

KAFKA: Mapping[str, Wire] = {
    "an answer of 2 GB": Wire(first=struct.pack(">i", 2**31 - 1), again=bytes(65_536)),
    "an answer of -1 bytes": Wire(first=struct.pack(">i", -1), again=b""),
    "an answer of 0 bytes": Wire(first=struct.pack(">i", 0), again=b""),
    "answers of 0 bytes without end": Wire(again=struct.pack(">i", 0) * 10_000),
    "an answer of 90 MB": Wire(first=struct.pack(">ii", 90_000_000, 1), again=bytes(65_536)),
    "an answer to nothing": Wire(first=struct.pack(">ii", 4, 77), again=b""),
    "an answer with -1 versions": Wire(first=struct.pack(">iih", 12, 1, 0) + bytes(6), again=b""),
    "an answer with 2^31 versions": Wire(first=struct.pack(">iihi", 10, 1, 0, 2**31 - 1), again=b""),
    "an answer cut off": Wire(first=struct.pack(">ii", 400, 1)),
    "answers to nothing without end": Wire(again=struct.pack(">ii", 4, 77) * 5_000),
    "an answer a byte every 0.2 s": Wire(first=struct.pack(">ii", 4_000, 1), again=b"\x00", every_s=0.2),
}

AMQP: Mapping[str, Wire] = {
    "AMQP of another age": Wire(first=b"AMQP\x00\x00\x09\x01", again=b""),
    "AMQP, then silence": Wire(first=b"AMQP\x00\x01\x00\x00", again=b""),
    "SASL, then silence": Wire(first=b"AMQP\x03\x01\x00\x00", again=b""),
    "a frame of 4 GB": Wire(first=b"AMQP\x03\x01\x00\x00\xff\xff\xff\xff\x02\x01\x00\x00", again=bytes(65_536)),
    "a frame of 0 bytes": Wire(first=b"AMQP\x03\x01\x00\x00" + bytes(8), again=b""),
    "frames of 8 bytes without end": Wire(
        first=b"AMQP\x03\x01\x00\x00", again=b"\x00\x00\x00\x08\x02\x00\x00\x00" * 5_000
    ),
    "a frame of rubbish": Wire(first=b"AMQP\x03\x01\x00\x00\x00\x00\x00\x10\x02\x01\x00\x00\xff\xff\xff\xff\xff"),
    "headers without end": Wire(again=b"AMQP\x03\x01\x00\x00" * 5_000),
    "a list of 2^32 items": Wire(
        first=b"AMQP\x03\x01\x00\x00\x00\x00\x00\x20\x02\x01\x00\x00\x00\x53\x40\xd0" + b"\xff" * 16, again=b""
    ),
    "a frame in drops": Wire(first=b"AMQP\x03\x01\x00\x00" * 4, pieces=1, every_s=0.2),
}

HTTP2: Mapping[str, Wire] = {
    "settings, then silence": Wire(first=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", again=b""),
    "settings without end": Wire(again=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 5_000),
    "pings without end": Wire(
        first=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        again=(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)) * 500,
    ),
    "a frame of 16 MB": Wire(first=b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", again=bytes(65_536)),
    "a goodbye": Wire(first=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)),
    "headers that go on without end": Wire(
        first=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88",
        again=b"\x00\x00\x04\x09\x00\x00\x00\x00\x01\x00\x01a\x01b" * 1_000,
    ),
    "a window of 0 bytes": Wire(first=b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00", again=b""),
    "a frame of an unknown kind": Wire(first=b"\x00\x00\x04\x77\x00\x00\x00\x00\x00what", again=b""),
    "data of no stream without end": Wire(
        first=b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", again=b"\x00\x10\x00\x00\x00\x00\x00\x00\x07" + bytes(4096)
    ),
    "HTTP/1.1": Wire(first=_answer(b"{}")),
}
"""Said to a client of gRPC."""
