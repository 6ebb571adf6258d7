"""The first step of the set-up on a terminal: what two systems are, and how to sign in to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from auditor.cli import answers
from auditor.cli.options import write
from auditor.setup import reading
from auditor.setup.addresses import (
    ADDRESS,
    DATABASE,
    EXAMPLE,
    PASSWORD,
    Entered,
    NewSystem,
    asked,
    kind_of,
    kinds,
    needs_password,
    pair_of,
    system_of,
    unquoted,
)
from auditor.setup.reading import Catalogue
from auditor.setup.setup_error import SameSystemError, SetupError
from probes.addresses import BEGINNINGS
from probes.sign_in_words import SignInWord
from probes.wording import listed

_DATABASES = frozenset({DATABASE, "postgres", *(each.partition("://")[0] for each in BEGINNINGS)})
"""Names of databases, in lower case: whoever enters one is asked for the address."""

BACK = "back"
"""The way back: from the address of the second system to the first one, from a name or time zone to the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was entered about a system.

    Attributes:
        usual: the name that it would have had.
    """

    entered: Entered
    usual: str


class _AddressError(Exception):
    """The person goes back to the system's address.

    Args:
        told: what was entered until then.
    """

    def __init__(self, told: Told | None) -> None:
        super().__init__()
        self.told = told


class UnfinishedError(SetupError):
    """A word that is needed was left out; what was entered before it is kept."""

    def __init__(self, message: str, entered: Entered) -> None:
        super().__init__(message)
        self.entered = entered


class BackError(Exception):
    """The person wants to enter the first system again; what was entered about the second is kept."""

    def __init__(self, told: Told | None) -> None:
        super().__init__()
        self.told = told


def first(before: Told | None) -> tuple[Told, Catalogue]:
    """Ask for the source of truth.

    Args:
        before: what was entered when it was asked for last.
    """
    return _system("The source of truth", lambda entered: system_of(entered, 0, os.environ), before)


def second(owner: Told, before: Told | None) -> tuple[Told, Catalogue]:
    """Ask for the system with the copies.

    Raises:
        BackError: the person wants to enter the source of truth again.
    """
    return _system(
        "The system with the copies",
        lambda entered: pair_of(owner.entered, entered, os.environ)[1],
        before,
        back=True,
    )


def _system(
    which: str, check: Callable[[Entered], NewSystem], before: Told | None, *, back: bool = False
) -> tuple[Told, Catalogue]:
    """Ask for one system until it can be signed in to, then for its name and time zone.

    Args:
        before: what was entered when it was asked for last.
        back: the person may go back to the system before.

    Raises:
        BackError: the person does.
    """
    last = before.entered if before else None
    while True:
        try:
            text = _address(which, last)
            if text.strip().lower() == BACK:
                if back:
                    raise BackError(_kept(last, before))
                raise SetupError("this is the first question; there is nothing to go back to")
            last = entered = _sign_in(text, last)
            found = check(entered)
            catalogue = answers.working(partial(reading.catalogue, found))
            break
        except SameSystemError as error:
            answers.complain(error)
            ways = {"Enter another system with the copies": False, "Enter the source of truth again": True}
            if answers.what_now("Both are the same system. What now?", ways):
                raise BackError(_kept(last, before)) from None
            last = None
        except UnfinishedError as error:
            answers.complain(error)
            last = error.entered
        except SetupError as error:
            answers.complain(error)
    try:
        return _named(entered, found.name, check, before), catalogue
    except _AddressError as again:
        return _system(which, check, again.told, back=back)


def _named(entered: Entered, suggested: str, check: Callable[[Entered], NewSystem], before: Told | None) -> Told:
    """Ask for a system's name, and a database's time zone.

    Raises:
        _AddressError: the person goes back to the address.
    """
    usual = before.entered.name if before and before.entered.name not in {"", before.usual} else suggested
    told = _kept(entered, before)
    entered, _ = _until_usable(
        check, lambda: replace(entered, name=_or_back("  Name in the map", usual, told, expected="write a name"))
    )
    told = Told(entered=entered, usual=suggested)
    if entered.kind != DATABASE:
        return told
    zone = (before and before.entered.zone) or "UTC"
    label = "  Time zone of its times without one"
    entered, _ = _until_usable(
        check, lambda: replace(entered, zone=_or_back(label, zone, told, expected="write a time zone, such as UTC"))
    )
    return replace(told, entered=entered)


def _or_back(label: str, usual: str, told: Told | None, *, expected: str) -> str:
    text = answers.text(label, usual, expected=expected)
    if text.strip().lower() == BACK:
        raise _AddressError(told)
    return text


def _kept(last: Entered | None, before: Told | None) -> Told | None:
    """What was entered last about a system, with the name and time zone from before."""
    if last is None or before is None:
        return Told(entered=last, usual="") if last else None
    return replace(before, entered=replace(last, name=before.entered.name, zone=before.entered.zone))


def _sign_in(text: str, before: Entered | None) -> Entered:
    """Ask how to sign in to a system; Enter keeps what was entered before.

    Args:
        text: its address or kind.

    Raises:
        UnfinishedError: a word that is needed was left out.
        SetupError: the text is neither an address nor a kind.
    """
    kind = kind_of(text)
    same = before is not None and before.kind == kind
    held = dict(before.words) if before and same else {}
    again = dict(before.remembered.words) if before and same else {}
    words = {ADDRESS.word: text} if kind == DATABASE else {}
    for each in asked(kind):
        if each.word in words or (each is PASSWORD and not needs_password(text)):
            continue
        word = _word(each, held.get(each.word, ""), again.get(each.word, ""))
        if not word and each is not PASSWORD:
            expected = f"{each.label} is needed: {each.help}"
            raise UnfinishedError(answers.nothing(expected), Entered(kind=kind, words={**held, **words}))
        words[each.word] = word
    return Entered(kind=kind, words=words)


def _address(which: str, before: Entered | None) -> str:
    """Ask for the address of a database, or the name of another kind; an address with a login is not shown again.

    Raises:
        SetupError: a kind of database was named, and then no address.
    """
    names = [kind for kind in kinds() if kind != DATABASE]
    label, expected = f"{which}: address, {listed(names)}", f"write for example {EXAMPLE}, or {listed(names)}"
    usual = held = ""
    if before is not None and before.kind == DATABASE:
        held, usual = before.words[ADDRESS.word], before.remembered.words.get(ADDRESS.word, "")
    elif before is not None:
        usual = before.kind
    if held and not usual:
        text = answers.text_or(held, f"{label} (Enter keeps the one entered)")
    else:
        text = answers.text(label, usual, expected=expected)
    while text.strip().lower() in _DATABASES:
        write(f"  {ADDRESS.help}\n")
        text = answers.once(f"  {ADDRESS.label}")
        if not text:
            raise SetupError(answers.nothing(expected))
    return unquoted(text)


def _word(each: SignInWord, held: str, again: str) -> str:
    """Ask for one word; the answer is "" if nothing was entered.

    Args:
        held: what was entered before, "" for nothing.
        again: the same if it is no secret.
    """
    if each is not PASSWORD:
        write(f"  {each.help}\n")
    if not each.secret:
        return answers.once(f"  {each.label}", again or each.usual)
    notes = ["not shown"] if each.hidden else []
    notes += ["Enter keeps the one entered"] if held else ["Enter for none"] if each is PASSWORD else []
    label = f"  {each.label} ({', '.join(notes)})" if notes else f"  {each.label}"
    if held or each is PASSWORD:
        return answers.text_or(held, label, hidden=each.hidden)
    return answers.once(label, hidden=each.hidden)


def _until_usable(check: Callable[[Entered], NewSystem], ask: Callable[[], Entered]) -> tuple[Entered, NewSystem]:
    while True:
        try:
            entered = ask()
            return entered, check(entered)
        except SetupError as error:
            answers.complain(error)
