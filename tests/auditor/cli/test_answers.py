"""Questions on a terminal: what an answer that cannot be used leads to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from auditor.cli import answers


def asked(question: Callable[[], object], *typed: str) -> tuple[str, str]:
    """The answer to a question, and all that was shown, after these lines are typed."""
    app = typer.Typer()
    found: list[object] = []
    app.command()(lambda: found.append(question()))
    done = CliRunner().invoke(app, input="".join(f"{line}\n" for line in typed))
    assert done.exit_code == 0, done.output
    return str(found[0]), done.output


def test_an_empty_answer_is_answered_with_what_is_expected() -> None:
    answer, shown = asked(lambda: answers.text("Name", expected="write a name"), "", "  ", "crm")
    assert answer == "crm"
    assert shown.count("nothing was entered; write a name") == 2
    assert asked(lambda: answers.text("Name", "usual", expected="write a name"), "")[0] == "usual"


def test_what_is_held_is_kept_and_not_shown() -> None:
    answer, shown = asked(lambda: answers.text_or("hunter2", "Key"), "")
    assert answer == "hunter2"
    assert "hunter2" not in shown
    assert asked(lambda: answers.text_or("hunter2", "Key"), "other")[0] == "other"


@pytest.mark.parametrize("typed", [(""), ("1"), (" 1 ")])
def test_enter_takes_the_first_option(typed: str) -> None:
    assert asked(lambda: answers.choice("What now?", ["Try again", "Stop"]), typed)[0] == "0"


def test_another_answer_than_a_number_that_is_offered_chooses_nothing() -> None:
    wrong = ("n", "0", "3", "-1", "²", "1" * 5_000, "stop")
    answer, shown = asked(lambda: answers.choice("What now?", ["Try again", "Stop\x1b[2J"]), *wrong, "2")
    assert answer == "1"
    assert shown.count("write a number from 1 to 2") == len(wrong)
    assert "\x1b" not in shown


@pytest.mark.parametrize(("typed", "answer"), [("YES", "True"), (" y", "True"), ("n", "False"), ("No", "False")])
def test_another_answer_than_yes_or_no_is_asked_for_again(typed: str, answer: str) -> None:
    found, shown = asked(lambda: answers.yes("Stop?", usual=True), "x", "yess", typed)
    assert found == answer
    assert shown.count("write y or n") == 2
    assert shown.count("Stop? [Y/n]: ") == 3


def test_a_question_shows_what_is_in_a_name() -> None:
    answer, shown = asked(lambda: answers.yes("Write a\x1bb?", usual=False), "")
    assert answer == "False"
    assert "\x1b" not in shown
