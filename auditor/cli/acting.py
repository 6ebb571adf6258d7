"""What the commands share with which people act on incidents and conflicts."""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import existing_ledger, fail, load

if TYPE_CHECKING:
    from auditor.desk.desk import Desk

MOST_NUMBER = 2**63 - 1
"""The largest row number that a ledger can have."""

ByOption = Annotated[
    str | None, typer.Option("--by", "--who", envvar="AUDITOR_USER", help="Who does this; your login name otherwise.")
]
TextOption = Annotated[str, typer.Option("--text", help="Why; it stays in the history.")]
ForOption = Annotated[str | None, typer.Option("--for", help="For how long, such as 2h.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Until when, such as 2026-03-31 or 2026-03-31T18:00 (UTC).")
]


@contextmanager
def at_desk(map_: Path, data: Path, by: str | None) -> Iterator[Desk]:
    """The desk for whoever runs the command; an act that is refused ends the command with the reason."""
    from auditor.desk.desk import Desk
    from checks.escalation import RefusedError

    loaded = load(map_)
    _, ledger = existing_ledger(data)
    try:
        yield Desk(loaded, ledger, who=login() if by is None else by, known_by=f"command line, login {_account()}")
    except RefusedError as error:
        fail(str(error))
    finally:
        ledger.close()


def seconds_of(word: str, text: str | None) -> float | None:
    """A duration in seconds; exits if it is none.

    Args:
        word: the argument or option, for the message.
    """
    from probes.durations import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        fail(f"{word}: {error}")


def end_of(for_: str | None, until: str | None) -> datetime:
    """The instant that `--for` or `--until` names; exits if not exactly one of them does."""
    if (for_ is None) == (until is None):
        fail("give either --for, such as 2h, or --until, such as 2026-03-31T18:00")
    if for_ is not None:
        return datetime.now(UTC) + timedelta(seconds=seconds_of("--for", for_) or 0)
    return instant_of("--until", until or "")


def instant_of(word: str, text: str) -> datetime:
    """An instant as people write it, in UTC unless it names a zone; exits if it is none."""
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        fail(f"{word}: not a time: {text[:40]!r}; write for example 2026-03-31 or 2026-03-31T18:00")


def check_words(option: str, given: list[str] | None, words: Collection[str]) -> None:
    """Exit if a word of an option is unknown."""
    from probes.wording import did_you_mean

    for each in given or ():
        if each not in words:
            fail(f"{option}: unknown word {each!r}{did_you_mean(each, words)}; it is one of {', '.join(words)}")


def login() -> str:
    """The name of whoever runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


def _account() -> str:
    """The account that owns this process, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
