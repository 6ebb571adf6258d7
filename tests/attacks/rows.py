"""Rows of databases that are too large to be held: tables by name, each with what its records hold.

What must hold: memory stays bounded however many of them there are; a record beyond the limit is named as
`too_large`, one below it is read, whatever stands beside it; the number of statements is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1024 * 1024

TEXT = "x"
WIDE = "\N{PILE OF POO}"
"""One character of four bytes makes a whole Python text four times as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table's records.

    Attributes:
        sizes: of each record, the bytes of its only value.
        begins: with what each value begins.
    """

    sizes: tuple[int, ...]
    begins: str = ""

    @property
    def readable(self) -> list[int]:
        """The records that fit, by number from 1 on."""
        return [at for at, size in enumerate(self.sizes, 1) if size < 15 * MIB]


TABLES: Mapping[str, Table] = {
    "twenty rows of 20 MB": Table(sizes=(20_000_000,) * 20),
    "one of 20 MB among small ones": Table(sizes=(*(100,) * 30, 20_000_000, *(100,) * 30)),
    "the first, the middle and the last of 20 MB": Table(sizes=(20_000_000, 9, 9, 20_000_000, 9, 9, 20_000_000)),
    "one of 60 MB, alone": Table(sizes=(60_000_000,)),
    "forty rows of 1 MB": Table(sizes=(1_000_000,) * 40),
    "ten rows of 12 MB": Table(sizes=(12_000_000,) * 10),
    "texts with one wide character": Table(sizes=(9_000_000,) * 6, begins=WIDE),
}
"""By name; a server may have to be told to accept packets of 64 MiB."""
