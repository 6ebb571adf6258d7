"""What cells are made of: attacks, the servers that they share, and the list of all cells."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hostile.attacked import DEADLINE_S, Call, Processes
from tests import servers

QUICKLY = 4
"""So many attacks of each cell are left by `--quick`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack, prepared: what is called with which words.

    Attributes:
        within_s: the deadline of each of its calls.
        covers: how many entries of the corpus it carries at once.
    """

    name: str
    call: Call
    words: Mapping[str, Any]
    within_s: float = DEADLINE_S
    calls: int = 1
    covers: int = 1


class Bench:
    """The servers that cells share, each started when it is first needed.

    Attributes:
        shared: ends with the run.
        stack: ends with the present cell.
    """

    def __init__(self, shared: ExitStack, *, quick: bool) -> None:
        self.shared = shared
        self.stack = shared
        self.quick = quick
        self.processes = Processes()
        self._known: dict[str, Any] = {}

    def of(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def folder(self) -> Path:
        made = Path(self.shared.enter_context(tempfile.TemporaryDirectory()))
        made.chmod(0o755)
        return made

    @property
    def postgresql(self) -> str:
        return str(self.of("postgresql", lambda: self.shared.enter_context(servers.postgresql())))

    @property
    def mariadb(self) -> str:
        return str(self.of("mariadb", lambda: self.shared.enter_context(servers.mariadb())))

    def chosen(self, corpus: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """The attacks of a corpus, a few of them for a quick run."""
        every = list(corpus.items())
        return every[:: max(1, len(every) // QUICKLY)] if self.quick else every


Cell = Callable[[Bench], Iterator[Attack]]
CELLS: dict[tuple[str, str], Cell] = {}
"""Every kind of attack, and every place where it can occur."""


def cell(kind: str, *places: str) -> Callable[[Callable[[Bench, str], Iterator[Attack]]], Any]:
    """Enter a cell for each of these places."""

    def enter(make: Callable[[Bench, str], Iterator[Attack]]) -> Any:
        for place in places:
            CELLS[kind, place] = lambda bench, place=place: make(bench, place)  # type: ignore[misc]
        return make

    return enter
