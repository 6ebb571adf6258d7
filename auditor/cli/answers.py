"""Questions on a terminal, each asked until its answer can be used, and what is said between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import typer

from auditor.cli.options import say, write
from auditor.cli.rows import err, shown
from auditor.escaping import visible

AnswerT = TypeVar("AnswerT")

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})


def text(label: str, usual: str = "", *, expected: str, hidden: bool = False) -> str:
    """Ask for a text.

    Args:
        usual: what Enter stands for, "" for nothing.
        expected: what to enter, as a request; shown after an empty answer.
        hidden: do not show what is typed.
    """
    while True:
        if answer := once(label, usual, hidden=hidden):
            return answer
        say(nothing(expected))


def once(label: str, usual: str = "", *, hidden: bool = False) -> str:
    """Ask for a text like `text`, but only once; "" if nothing was entered."""
    answer = str(typer.prompt(label, usual, hide_input=hidden, show_default=bool(usual)))
    return answer if answer.strip() else ""


def nothing(expected: str) -> str:
    """The complaint about an empty answer."""
    return f"nothing was entered; {expected}"


def text_or(held: str, label: str, *, hidden: bool = False) -> str:
    """Ask for a text that is not shown as a default; Enter keeps the one that is held, which may be empty."""
    return str(typer.prompt(label, "", hide_input=hidden, show_default=False)) or held


def choice(question: str, options: Sequence[str]) -> int:
    """Ask for one of several options by its number; Enter takes the first. The answer is its position."""
    write(visible(question) + "\n")
    for number, option in enumerate(options, 1):
        write(visible(f"{number}: {option}") + "\n")
    expected = f"write a number from 1 to {len(options)}"
    while True:
        answer = text("Number", "1", expected=expected).strip()
        if answer.isascii() and answer.isdigit() and 1 <= int(answer[:9]) <= len(options):
            return int(answer[:9]) - 1
        say(expected)


def yes(question: str, *, usual: bool) -> bool:
    """Ask a question of yes or no.

    Args:
        usual: what Enter stands for.
    """
    label = f"{visible(question)} [{'Y/n' if usual else 'y/N'}]"
    while True:
        answer = once(label).strip().lower()
        if not answer:
            return usual
        if answer in _YES or answer in _NO:
            return answer in _YES
        say("write y or n")


def what_now(question: str, options: Mapping[str, AnswerT]) -> AnswerT:
    """Ask how to go on. Who wants to stop is asked once more, because all that was entered is lost then.

    Args:
        options: what each leads to; Enter takes the first.
    """
    while True:
        at = choice(question, [*options, "Stop"])
        if at < len(options):
            return [*options.values()][at]
        if yes("Nothing has been written, and what you entered will be lost. Stop?", usual=False):
            raise typer.Abort


def working(work: Callable[..., AnswerT]) -> AnswerT:
    """Do work that takes `tell`, while a line shows what is being done."""
    with err.status("connecting") as status:
        return work(tell=lambda text: status.update(shown(text)))


def complain(error: Exception) -> None:
    say(str(error))
