"""What is wrong with a map: where it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in the map."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.path}: {self.message}"


MORE = "more may show once these are mended"
"""What to add where a mistake keeps others from being looked for."""


class MapError(Exception):
    """The map cannot be used.

    Attributes:
        problems: every mistake found, in file order.
        more: some of them keep others from being looked for.
    """

    def __init__(self, problems: list[Problem], *, more: bool = False) -> None:
        super().__init__("\n".join(str(problem) for problem in sorted(problems)))
        self.problems = sorted(problems)
        self.more = more
