"""Questions on a terminal, each asked until its answer can be used."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from auditor.cli.options import say, write
from auditor.escaping import visible


def text(label: str, usual: str = "", *, expected: str, hidden: bool = False) -> str:
    """Ask for a text.

    Args:
        usual: what Enter stands for, "" for nothing.
        expected: what to enter, as a request; shown after an empty answer.
        hidden: do not show what is typed.
    """
    while True:
        answer = str(typer.prompt(label, usual, hide_input=hidden, show_default=bool(usual)))
        if answer.strip():
            return answer
        say(f"nothing was entered; {expected}")


def text_or(held: str, label: str, *, hidden: bool = False) -> str:
    """Ask for a text that is not shown as a default; Enter keeps the one that is held, which may be empty."""
    return str(typer.prompt(label, "", hide_input=hidden, show_default=False)) or held


def choice(question: str, options: Sequence[str]) -> int:
    """Ask for one of several options by its number; Enter takes the first. The answer is its position."""
    write(visible(question) + "\n")
    for number, option in enumerate(options, 1):
        write(visible(f"{number}: {option}") + "\n")
    while True:
        answer = text("Number", "1", expected="").strip()
        if answer.isascii() and answer.isdigit() and 1 <= int(answer[:9]) <= len(options):
            return int(answer[:9]) - 1
        say(f"write a number from 1 to {len(options)}")


def yes(question: str, *, usual: bool) -> bool:
    """Ask a question of yes or no.

    Args:
        usual: what Enter stands for.
    """
    return typer.confirm(visible(question), default=usual)
