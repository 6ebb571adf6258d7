"""Texts of a map's file that stand for far more than they hold, that no parser agrees about, or that are no text.

Every one is refused with its file, its line, what is wrong and what to do, in every command that reads a map, within
seconds and without memory for what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping


def _laughs(levels: int, each: str) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, levels)]
    return "\n".join([*lines, f"systems: {{crm: {each}}}"]) + "\n"


def _merges(levels: int) -> str:
    lines = ["b0: &b0 {k0: 1, k1: 2}"]
    lines += [
        f"b{at}: &b{at} {{<<: [*b{at - 1}, *b{at - 1}], n{at}: [*b{at - 1}, *b{at - 1}]}}" for at in range(1, levels)
    ]
    return "\n".join(lines) + "\n"


REFUSED: Mapping[str, tuple[bytes, int]] = {
    "billion laughs": (_laughs(10, "*a9").encode(), 6),
    "billion laughs as a system": (_laughs(12, "{kind: sql, url: *a11}").encode(), 6),
    "merged without end": (_merges(40).encode(), 10),
    "alias in itself": (b"systems: &a\n  crm: *a\n", 2),
    "list in itself": (b"systems:\n  crm: &a [*a]\n", 2),
    "merge of itself": (b"systems:\n  crm: &a\n    <<: *a\n", 3),
    "unknown alias": (b"systems:\n  crm: *nothing\n", 2),
    "merge of no mapping": (b"systems:\n  crm:\n    <<: 5\n    kind: sql\n", 3),
    "deep brackets": (b"systems:\n  crm: " + b"[" * 100_000, 2),
    "deep braces": (b"systems:\n  crm: " + b"{a: " * 10_000, 2),
    "deep dashes": (b"systems:\n  " + b"- " * 50_000 + b"x\n", 2),
    "deep question marks": (b"systems:\n  " + b"? " * 20_000 + b"x\n", 2),
    "deep blocks": (b"systems:\n" + b"".join(b" " * (at + 1) + b"a:\n" for at in range(500)), 64),
    "huge integer": (b"systems:\n  crm: {kind: sql, url: " + b"9" * 50_000 + b"}\n", 2),
    "huge integer with a sign": (b"systems:\n  crm: -" + b"9" * 5_000 + b"\n", 2),
    "huge key": (b"systems:\n  ? " + b"9" * 5_000 + b"\n  : x\n", 2),
    "long text": (b"systems:\n  crm: " + b"x" * 200_000 + b"\n", 2),
    "python object": (b"systems:\n  crm: !!python/object/apply:os.system [id]\n", 2),
    "python name": (b"systems:\n  crm: !!python/name:os.system\n", 2),
    "own tag": (b"systems:\n  crm: !secret x\n", 2),
    "binary": (b"systems:\n  crm: !!binary aGVsbG8=\n", 2),
    "set": (b"systems:\n  crm: !!set {a, b}\n", 2),
    "ordered": (b"systems:\n  crm: !!omap [a: 1]\n", 2),
    "integer that is none": (b"systems:\n  crm: !!int abc\n", 2),
    "day that is none": (b"systems:\n  crm: {kind: sql, url: 2026-02-30}\n", 2),
    "hour that is none": (b"systems:\n  crm: 2026-02-03T25:61:00Z\n", 2),
    "month that is none": (b"systems:\n  crm: [2026-13-01]\n", 2),
    "infinite": (b"systems:\n  crm: {kind: sql, budget: {timeout: .inf}}\n", 2),
    "less than infinite": (b"systems:\n  crm: {kind: sql, budget: {timeout: -.INF}}\n", 2),
    "no number": (b"systems:\n  crm: {kind: sql, budget: {timeout: .NaN}}\n", 2),
    "infinite exponent": (b"systems:\n  crm: {kind: sql, budget: {timeout: 1e999999}}\n", 2),
    "old YAML": (b"%YAML 1.1\n---\nsystems: {crm: {kind: sql, port: 190:20:30}}\n", 2),
    "two documents": (b"systems: {}\n---\nsystems: {}\n", 2),
    "key twice": (b"systems:\n  crm: {kind: sql}\n  crm: {kind: rest}\n", 3),
    "word twice": (b"systems:\n  crm: {kind: sql, kind: rest}\n", 2),
    "section twice": (b"systems: {}\nsystems: {}\n", 2),
    "tab": (b"systems:\n\tcrm: {kind: sql}\n", 2),
    "NUL": (b"systems:\n  crm: {kind: sql\0}\n", 2),
    "escape": (b"systems:\n  crm: \x1b[2J\n", 2),
    "Latin-1": ("systems:\n  crm: {kind: Größe}\n".encode("latin-1"), 2),
    "UTF-16": ("systems:\n  crm: {kind: sql}\n".encode("utf-16"), 1),
    "half a character": (b"systems:\n  crm: \xed\xa0\x80\n", 2),
    "cut character": (b"systems:\n  crm: \xe2\x82\n", 2),
    "no end": (b"systems:\n  crm: {kind: sql\n", 3),
    "no end of a quotation": (b'systems:\n  crm: "sql\n', 3),
    "unknown escape": (b'systems:\n  crm: "\\q"\n', 2),
    "list": (b"- systems\n", 1),
    "text": (b"systems\n", 1),
    "number": (b"42\n", 1),
    "section as a list": (b"systems:\n  - crm\n", 1),
    "system as a number": (b"systems:\n  crm: 5\n", 2),
    "system as nothing": (b"systems:\n  crm:\n", 2),
    "key as a list": (b"systems:\n  ? [a, b]\n  : {kind: sql}\n", 2),
    "key as a mapping": (b"systems:\n  ? {a: b}\n  : {kind: sql}\n", 2),
    "key as nothing": (b"systems:\n  null: {kind: sql}\n", 2),
    "key as a number": (b"systems:\n  5: {kind: sql}\n", 2),
    "key as a truth": (b"systems:\n  true: {kind: sql}\n", 2),
    "key as a day": (b"systems:\n  2026-02-03: {kind: sql}\n", 2),
    "empty key": (b'systems:\n  "": {kind: sql}\n', 2),
    "merge of sections": (b"<<: {systems: {crm: 5}}\n", 1),
    "merge of systems": (b"x: &x {crm: {kind: sql}}\nsystems:\n  <<: *x\n", 1),
    "words of other types": (b"systems:\n  crm: {kind: [sql], url: {a: b}, budget: [1]}\n", 2),
    "variables without an end": (b"systems:\n  crm: {kind: sql, url: '" + b"${A:-" * 15_000 + b"'}\n", 2),
    "variable that is not set": (b"systems:\n  crm: {kind: sql, url: '${NO_SUCH_THING}'}\n", 2),
    "endless secret": (b"systems:\n  crm: {kind: sql, url: '${file:/dev/zero}'}\n", 2),
    "secret of a folder": (b"systems:\n  crm: {kind: sql, url: '${file:/}'}\n", 2),
    "secret with NUL": (b'systems:\n  crm: {kind: sql, url: "${file:/tmp/a\\0b}"}\n', 2),
    "carriage returns": (b"systems:\r  crm: 5\r", 2),
    "large": (b"# " + b"x" * (5 * 1024 * 1024), 1),
}
"""By name, the bytes of a file, and the line that is named."""

READ: Mapping[str, bytes] = {
    "byte order mark": b"\xef\xbb\xbf",
    "carriage returns and line feeds": b"# \r\n",
    "comment": "# Größe\n".encode(),
    "own version": b"%YAML 1.2\n---\n",
}
"""What may stand before a good map."""
