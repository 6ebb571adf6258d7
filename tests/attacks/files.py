"""Files of the data folder as accidents leave them: gone, cut off, overwritten, another's.

Each entry takes the path of a sound file and spoils it. What must hold: the file is named, everything else goes on,
what is missing is told, and nothing is made of what is not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def _cut(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def _scribble(path: Path, at: float, text: bytes) -> None:
    whole = bytearray(path.read_bytes())
    begin = int(len(whole) * at)
    whole[begin : begin + len(text)] = text
    path.write_bytes(bytes(whole[: path.stat().st_size]))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def _bytes(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)


def _table(path: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), path)


PARQUET: Mapping[str, Callable[[Path], None]] = {
    "gone": Path.unlink,
    "zero length": lambda path: _bytes(path, b""),
    "cut in half": lambda path: _cut(path, 0.5),
    "cut before its end": lambda path: _cut(path, 0.99),
    "the magic number alone": lambda path: _bytes(path, b"PAR1"),
    "the magic number twice": lambda path: _bytes(path, b"PAR1" * 2),
    "a footer of four gigabytes": lambda path: _bytes(path, b"PAR1" + b"\xff\xff\xff\xff" + b"PAR1"),
    "data overwritten": lambda path: _scribble(path, 0.05, b"\xff" * 400),
    "footer overwritten": lambda path: _scribble(path, 0.9, b"\xff" * 60),
    "text": lambda path: _bytes(path, b"not a file of the archive\n" * 50),
    "zeros": lambda path: _bytes(path, bytes(5_000)),
    "another schema": lambda path: _table(path, name=["Ada"], amount=[1]),
    "another type of a column": lambda path: _table(path, id=["one"], flow=["f"], finished_at=["then"]),
    "no rows": lambda path: pq.write_table(pq.read_table(path).slice(0, 0), path),
    "more rows": lambda path: pq.write_table(pa.concat_tables([pq.read_table(path)] * 2), path),
    "a folder": _folder,
    "a link to nowhere": _link,
}
"""Spoils a file of the archive: it is left out and named, whatever is asked, and the rest is answered."""


def _page(path: Path, number: int, size: int = 4096) -> None:
    whole = bytearray(path.read_bytes())
    whole[number * size : (number + 1) * size] = b"\xa5" * size
    path.write_bytes(bytes(whole))


def _all_but_the_first_page(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))


LEDGERS: Mapping[str, Callable[[Path], None]] = {
    "header overwritten": lambda path: _bytes(path, b"\xa5" * 100 + path.read_bytes()[100:]),
    "schema overwritten": lambda path: _page(path, 0),
    "every page but the first overwritten": _all_but_the_first_page,
    "cut after its first page": lambda path: _bytes(path, path.read_bytes()[:4096]),
    "cut in the header": lambda path: _bytes(path, path.read_bytes()[:50]),
    "text": lambda path: _bytes(path, b"not a ledger\n" * 1_000),
    "zeros": lambda path: _bytes(path, bytes(40_960)),
}
"""Spoils a SQLite ledger: every command and page says which ledger it is and what is wrong with it."""
