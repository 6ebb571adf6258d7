"""What the commands share with which people act on incidents and conflicts."""

from __future__ import annotations

import fnmatch
import getpass
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.options import (
    DEFAULT_DATA,
    DEFAULT_MAP,
    DataOption,
    JsonOption,
    MapOption,
    TextCommand,
    existing_ledger,
    fail,
    load,
    say,
)

if TYPE_CHECKING:
    from auditor.desk.desk import Case, Desk
    from auditor.ledger import Ledger

ByOption = Annotated[
    str | None, typer.Option("--by", "--who", envvar="AUDITOR_USER", help="Who does this; your login name otherwise.")
]
TextOption = Annotated[str, typer.Option("--text", help="Why; it stays in the history.")]
ForOption = Annotated[str | None, typer.Option("--for", help="For how long, such as 2h.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Until when, such as 2026-03-31 or 2026-03-31T18:00 (UTC).")
]

Patterns = list[str] | None


@contextmanager
def at_desk(map_: Path, data: Path, by: str | None) -> Iterator[Desk]:
    """The desk of the person who runs the command; if it refuses an act, exit with the reason."""
    from auditor.desk.desk import Desk
    from checks.escalation import RefusedError

    loaded = load(map_)
    _, ledger = existing_ledger(data)
    try:
        yield Desk(loaded, ledger, who=login() if by is None else by, known_by=known_by())
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


def end_of(for_: str | None, until: str | None, begin: datetime | None = None) -> datetime:
    """The instant that `--for` or `--until` names; exits if not exactly one of them does.

    Args:
        begin: from when a length counts; None for now.
    """
    if (for_ is None) == (until is None):
        fail("give either --for, such as 2h, or --until, such as 2026-03-31T18:00")
    if for_ is not None:
        return (begin or datetime.now(UTC)) + timedelta(seconds=seconds_of("--for", for_) or 0)
    return instant_of("--until", until or "")


def instant_of(word: str, text: str) -> datetime:
    """An instant as people write it, in UTC unless it names a zone; exits if it is none."""
    from auditor.desk import ends

    try:
        return ends.instant_of(text)
    except ValueError as error:
        fail(f"{word}: {error}")


def check_words(option: str, given: list[str] | None, words: Collection[str]) -> None:
    """Exit if a word of an option is unknown."""
    from probes.wording import did_you_mean

    for each in given or ():
        if each not in words:
            fail(f"{option}: unknown word {each!r}{did_you_mean(each, words)}")


def check_causes(patterns: list[str] | None, causes: Sequence[str]) -> None:
    """Exit if a pattern of causes, in which * stands for any text, matches none that there is."""
    from probes.wording import did_you_mean

    for each in patterns or ():
        if not fnmatch.filter(causes, each):
            fail(f"--cause: there is no cause {each!r}{did_you_mean(each, causes, most=len(causes))}")


def is_wanted(row: Mapping[str, Any], wanted: Mapping[str, list[str]]) -> bool:
    """Whether each of these columns matches one of its patterns, in which * stands for any text; none matches all."""
    return all(
        any(fnmatch.fnmatchcase(str(row[name] or ""), pattern) for pattern in patterns)
        for name, patterns in wanted.items()
        if patterns
    )


def login() -> str:
    """The login name of the person who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


def known_by() -> str:
    """How the auditor knows who runs a command, as recorded with what the person does."""
    return f"command line, login {_account()}"


def _account() -> str:
    """The account that owns this process, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """The commands that incidents and conflicts have in common: ack, unack, snooze, assign, comment.

    Attributes:
        group: whose commands they are.
        kind: what they act on.
        document: what a ledger holds about one, for `--json`.
        attends: what an acknowledgement means, for the help.
    """

    group: typer.Typer
    kind: Literal["incident", "conflict"]
    document: Callable[[Ledger, int], Any]
    attends: str

    def case(self, number: int) -> Case:
        """What a command acts on."""
        from auditor.desk.desk import Case

        return Case(self.kind, number)

    def done(self, data: Path, number: int, said: str, *, as_json: bool) -> None:
        """Say what was done; for programs, print the case as it is now."""
        if not as_json:
            say(said)
            return
        from auditor.cli.documents import print_json

        _, ledger = existing_ledger(data, as_json=True)
        document = self.document(ledger, number)
        ledger.close()
        print_json(document)

    def register(self) -> None:
        """Add them to the group."""
        number_help, an = f"The {self.kind}'s number.", f"{'an' if self.kind == 'incident' else 'a'} {self.kind}"
        number_argument = typer.Argument(metavar="NUMBER", help=number_help, min=1)

        @self.group.command(help=f"Acknowledge {an}: {self.attends}.")
        def ack(
            number: int = number_argument,
            map_: MapOption = DEFAULT_MAP,
            data: DataOption = DEFAULT_DATA,
            text: TextOption = "",
            by: ByOption = None,
            as_json: JsonOption = False,
        ) -> None:
            with at_desk(map_, data, by) as desk:
                desk.acknowledge(self.case(number), text)
            self.done(data, number, "acknowledged", as_json=as_json)

        @self.group.command(help=f"Take back an acknowledgement or a snooze of {an}.")
        def unack(
            number: int = number_argument,
            map_: MapOption = DEFAULT_MAP,
            data: DataOption = DEFAULT_DATA,
            text: TextOption = "",
            by: ByOption = None,
            as_json: JsonOption = False,
        ) -> None:
            with at_desk(map_, data, by) as desk:
                desk.unacknowledge(self.case(number), text)
            self.done(data, number, "open again", as_json=as_json)

        @self.group.command(help=f"Put off {an} for a time: no messages are sent; then it is open again.")
        def snooze(
            number: int = number_argument,
            for_: str = typer.Argument(metavar="FOR", help="For how long, such as 2h."),
            map_: MapOption = DEFAULT_MAP,
            data: DataOption = DEFAULT_DATA,
            text: TextOption = "",
            by: ByOption = None,
            as_json: JsonOption = False,
        ) -> None:
            until_at = datetime.now(UTC) + timedelta(seconds=seconds_of("FOR", for_) or 0)
            with at_desk(map_, data, by) as desk:
                desk.snooze(self.case(number), until_at, text)
            self.done(data, number, f"snoozed until {until_at:%Y-%m-%d %H:%M:%S} UTC", as_json=as_json)

        @self.group.command(help=f"Assign {an} to someone.")
        def assign(
            number: int = number_argument,
            to: str = typer.Argument(help="Who works on it."),
            map_: MapOption = DEFAULT_MAP,
            data: DataOption = DEFAULT_DATA,
            text: TextOption = "",
            by: ByOption = None,
            as_json: JsonOption = False,
        ) -> None:
            with at_desk(map_, data, by) as desk:
                desk.assign(self.case(number), to, text)
            self.done(data, number, f"assigned to {to}", as_json=as_json)

        @self.group.command(cls=TextCommand, help="Add a comment.")
        def comment(
            number: int = number_argument,
            text: str = typer.Argument(help="The comment."),
            map_: MapOption = DEFAULT_MAP,
            data: DataOption = DEFAULT_DATA,
            by: ByOption = None,
            as_json: JsonOption = False,
        ) -> None:
            with at_desk(map_, data, by) as desk:
                desk.comment(self.case(number), text)
            self.done(data, number, "comment added", as_json=as_json)

        if self.kind == "conflict":
            self.group.command("defer", help="The same as `snooze`.")(snooze)
