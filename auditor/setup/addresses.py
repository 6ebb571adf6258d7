"""The two systems as a person enters them, and what becomes of it: settings, a map entry, and variables.

A system is a database, entered as an address with a login, or an account of a kind whose sign-in is described
(`probes.registry.sign_ins`). Secrets, and addresses with a login, go into the environment, never into the map, which
names their variables. Pure but for the settings models, which are loaded by kind, and for SQLite files: where one
really is, and whether a path names one. No text of this module quotes a secret, or an address but such a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from auditor.map.map_reader import NAME, WHERE_SET
from auditor.map.mistakes import of_settings
from auditor.setup.setup_error import SameSystemError, SetupError
from auditor.systems.proposed_map import described_system, new_system, system_name
from probes import registry
from probes.addresses import BEGINNINGS, WEB
from probes.secrets import Scrubber
from probes.sign_in_words import SignInWord
from probes.wording import did_you_mean, listed

EXAMPLE = "postgresql://USER@HOST/DATABASE"
"""How an address is written."""

DATABASE = "database"
"""A system that is entered by its address, which says its kind."""

ADDRESS = SignInWord(
    word="url",
    label="Address",
    help="A URL: postgresql://, mysql://, mariadb://, mongodb:// or sqlite:///FILE. Or ${NAME} for one in the "
    "environment.",
    placeholder=EXAMPLE,
    secret=True,
)
"""Of a database. It may hold a login."""

PASSWORD = SignInWord(
    word="password",
    label="Password",
    help="If the address names a user without one.",
    secret=True,
    hidden=True,
)
"""Of a database, if it is not in the address."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#@:]+)@(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What a person enters about one system.

    Attributes:
        kind: `DATABASE`, or a kind whose sign-in is described.
        words: by the word that is asked for; each may be `${NAME}` for what the environment holds.
        name: in the map; "" for one after the database or the kind.
        zone: of a database's times without one; "" if all have one.
    """

    kind: str = DATABASE
    words: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = ""
    zone: str = "UTC"

    @property
    def remembered(self) -> Entered:
        """The same without secrets, and without addresses that hold a login."""
        secret = {each.word for each in asked(self.kind) if each.secret} - {ADDRESS.word}
        words = {word: text for word, text in self.words.items() if not _tells(text, secret=word in secret)}
        return replace(self, words=words)


def _tells(text: str, *, secret: bool) -> bool:
    """Whether a word says something that must not be shown again; a variable's name does not."""
    text = unquoted(text)
    if _REFERENCE.fullmatch(text):
        return False
    address = text if "://" in text else f"https://{text}"
    return secret or bool(Scrubber.of_address(address).secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSystem:
    """A system that the map will name.

    Attributes:
        words: the words of its settings, in full.
        variables: those that the map takes from the environment, each with the name of its variable.
        known: the variables that the environment has already.
        zone: of its times without one, "" for none.
    """

    name: str
    kind: str
    words: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str]
    known: Collection[str] = frozenset()
    zone: str = ""

    @property
    def text(self) -> str:
        """Its entry in the map."""
        if _is_database(self.kind):
            return new_system(self.name, self.kind, f"${{{self.variables[ADDRESS.word]}}}", self.zone or None)
        usual = {each.word: each.usual for each in asked(self.kind)}
        words = {
            word: f"${{{self.variables[word]}}}" if word in self.variables else text
            for word, text in self.words.items()
            if text != usual[word] or word in self.variables
        }
        return described_system(self.name, self.kind, words, _calls_per_s(self.kind))

    @property
    def settings(self) -> Any:
        """Its settings, to read it."""
        return _settings(self.kind, self.words, self.zone)

    @property
    def values(self) -> dict[str, str]:
        """Its variables with their values."""
        return {variable: self.words[word] for word, variable in self.variables.items()}

    @property
    def secrets(self) -> dict[str, list[str]]:
        """By word, what must stand in no text."""
        secret = {each.word for each in asked(self.kind) if each.secret}
        found = {word: [text] for word, text in self.words.items() if word in secret}
        if _is_database(self.kind):
            found[ADDRESS.word] += [each for each in self.scrub.secrets if "://" not in each]
        return found

    @property
    def scrub(self) -> Scrubber:
        """Removes its secrets from texts."""
        if _is_database(self.kind):
            return Scrubber.of_address(self.words[ADDRESS.word])
        return Scrubber.of(self.settings)


def kinds() -> dict[str, str]:
    """What a system may be, each with its title: a database first."""
    titles = {name: registry.RECORD_KINDS[name].title for name in registry.sign_ins()}
    return {DATABASE: "Database", **dict(sorted(titles.items(), key=lambda each: each[1]))}


def accounts() -> list[str]:
    """The titles of what is not a database."""
    return [title for kind, title in kinds().items() if kind != DATABASE]


def asked(kind: str) -> tuple[SignInWord, ...]:
    """What a person enters to sign in to a system of this kind."""
    return (ADDRESS, PASSWORD) if kind == DATABASE or _is_database(kind) else registry.sign_ins()[kind].words


def kind_of(text: str) -> str:
    """What a person has entered where an address or the name of a kind is asked for: a kind, or `DATABASE`.

    Raises:
        SetupError: neither; says what to enter instead.
    """
    word = unquoted(text)
    if word.lower() in kinds():
        return word.lower()
    if not word or "://" in word or _REFERENCE.fullmatch(word):
        return DATABASE
    _check_path(word)
    names = [each for each in kinds() if each != DATABASE]
    meant = did_you_mean(word.lower(), names)
    hint = meant if meant.startswith("; did you mean") else f", or {listed(names)}"
    raise SetupError(f"not a database URL; write for example {EXAMPLE}{hint}")


def unquoted(text: str) -> str:
    """A text without the quotes around it, with which addresses are copied from files."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _check_path(text: str) -> None:
    """Raises SetupError with the address of a SQLite file whose path was entered instead."""
    try:
        path = Path(text).expanduser().absolute()
        if not path.is_file():
            return
        with path.open("rb") as file:
            found = file.read(len(_SQLITE)) == _SQLITE
    except (OSError, RuntimeError, ValueError):
        return
    if found:
        raise SetupError(f"not a database URL; for this SQLite file write sqlite:///{quote(str(path))}")


_SQLITE = b"SQLite format 3\0"
"""How a SQLite file begins. Source: sqlite.org/fileformat.html, section 1.3."""


def system_of(entered: Entered, at: int, environment: Mapping[str, str]) -> NewSystem:
    """The system that a person has described.

    Args:
        at: 0 for the source of truth, 1 for the system with the copies.
        environment: the variables that are set.

    Raises:
        SetupError: it cannot be used; says what to enter instead.
    """
    if entered.kind == DATABASE:
        words, given = _address(entered, environment)
        kind, zone = registry.kind_of_address(words[ADDRESS.word]), entered.zone.strip()
        usual = system_name(words[ADDRESS.word], at)
    else:
        words, given = _account(entered, environment)
        kind, zone, usual = entered.kind, "", entered.kind
    _check_zone(zone)
    try:
        _settings(kind, words, zone)
    except ValidationError as error:
        raise SetupError(_why(error, kind)) from None
    name = entered.name.strip() or usual
    if not NAME.fullmatch(name):
        raise SetupError("the name of a system is a letter followed by up to 62 letters, digits, - or _")
    secret = [each.word for each in asked(kind) if each.secret and each.word in words]
    variables = {
        **_variables(name, {word: words[word] for word in secret if word not in given}, environment),
        **given,
    }
    known = frozenset(each for word, each in variables.items() if environment.get(each) == words[word])
    return NewSystem(name=name, kind=kind, words=words, variables=variables, known=known, zone=zone)


def pair_of(owner: Entered, copy: Entered, environment: Mapping[str, str]) -> tuple[NewSystem, NewSystem]:
    """Both systems.

    Raises:
        SetupError: one cannot be used, or both are the same; begins with which.
    """
    systems: list[NewSystem] = []
    for at, (entered, which) in enumerate(zip((owner, copy), WHICH, strict=True)):
        taken = {variable: value for each in systems for variable, value in each.values.items()}
        try:
            system = system_of(entered, at, {**environment, **taken})
        except SetupError as error:
            raise SetupError(f"{which}: {error}") from None
        unset = frozenset(each for each in taken if environment.get(each) != taken[each])
        systems.append(replace(system, known=frozenset(system.known) - unset))
    mine, theirs = systems
    if _identity(mine) == _identity(theirs):
        same = "address" if _is_database(mine.kind) else "account"
        raise SameSystemError(f"{WHICH[1]}: this is the {same} of the source of truth; enter another")
    if mine.name == theirs.name:
        if not copy.name.strip():
            return pair_of(owner, replace(copy, name=f"{mine.name}_copy"), environment)
        raise SetupError(f"{WHICH[1]}: {mine.name} is the name of the source of truth; enter another")
    return mine, theirs


_ALIKE = {"postgres": "postgresql", "mariadb": "mysql"}
"""Schemes of addresses that mean another one, too."""

_PORTS = {"postgresql": 5432, "mysql": 3306, "mongodb": 27017, "http": 80, "https": 443}
"""By scheme, the port of an address that names none."""

_PLACES = frozenset({"host", "port", "options"})
"""Parameters of an address that say what is read; others only how."""


def _identity(system: NewSystem) -> tuple[str, ...]:
    """The same for two entries of one database or account, however its address is written."""
    words = dict(system.words)
    if ADDRESS.word in words:
        address = words[ADDRESS.word]
        words[ADDRESS.word] = _one_form(address if "://" in address else f"https://{address}")
    return tuple(words[each] for each in sorted(words))


def _one_form(address: str) -> str:
    """An address in the one form that all ways to write it share: for a SQLite file, where it really is."""
    scheme, _, rest = address.partition("://")
    scheme = scheme.partition("+")[0].lower()
    scheme = _ALIKE.get(scheme, scheme)
    if scheme == "sqlite":
        path = unquote(rest.removeprefix("/").partition("?")[0]).removeprefix("file:")
        return f"sqlite:{os.path.realpath(path)}"
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    user = unquote(login.partition(":")[0])
    further = sorted(each for each in parse_qsl(query) if each[0] in _PLACES)
    host = host.lower()
    if not re.search(r":\d+$", host) and scheme in _PORTS:
        host = f"{host}:{_PORTS[scheme]}"
    return f"{scheme}://{user}{at}{host}/{unquote(path).rstrip('/')}?{further}"


WHICH = ("source of truth", "system with the copies")
"""The two systems."""


def needs_password(address: str) -> bool:
    """Whether an address names a user without a password."""
    return _LOGIN.fullmatch(unquoted(address)) is not None


def _is_database(kind: str) -> bool:
    return kind in registry.RECORD_KINDS and bool(registry.RECORD_KINDS[kind].schemes)


def _calls_per_s(kind: str) -> int | None:
    return registry.sign_ins()[kind].calls_per_s


def _address(entered: Entered, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The whole address, and the variable that holds it already."""
    text = unquoted(entered.words.get(ADDRESS.word, ""))
    password, _ = _looked_up(entered.words.get(PASSWORD.word, ""), environment)
    if not text:
        raise SetupError(f"enter an address, such as {EXAMPLE}")
    text, variable = _looked_up(text, environment)
    if variable:
        _check_scheme(text)
        return {ADDRESS.word: text}, {ADDRESS.word: variable}
    if _REFERENCE.search(text):
        raise SetupError(
            "${NAME} can stand for the whole address, but not for a part of it; put all of it into one variable, "
            "or write %24 for a $ that belongs to it"
        )
    if "://" not in text:
        _check_path(text)
        raise SetupError(f"not a database URL; write for example {EXAMPLE}")
    if text.partition("://")[0].lower() in WEB:
        raise SetupError(
            f"this is a web address, not a database's, which begins with {listed(BEGINNINGS)}; for an account of "
            f"{listed(accounts())}, choose that kind"
        )
    _check_scheme(text)
    if password:
        login = _LOGIN.fullmatch(text)
        if login is None:
            raise SetupError("a password needs a user without one in the address, such as postgresql://USER@HOST")
        text = f"{login['scheme']}{login['user']}:{quote(password, safe='')}@{login['rest']}"
    # A .env file would replace ${...} in it.
    return {ADDRESS.word: text.replace("${", "%24{")}, {}


def _check_scheme(address: str) -> None:
    scheme, separator, _ = address.partition("://")
    scheme = scheme.partition("+")[0].lower()
    known = {each for kind in registry.RECORD_KINDS.values() for each in kind.schemes}
    if separator and scheme not in known and scheme not in WEB:
        raise SetupError(
            f"this kind of database is not supported; the address of one that is begins with {listed(BEGINNINGS)}"
        )


def _account(entered: Entered, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The words of an account, and the variables that hold some of them already."""
    words: dict[str, str] = {}
    given: dict[str, str] = {}
    for each in asked(entered.kind):
        written = entered.words.get(each.word, "")
        written = written.strip() if each.secret else unquoted(written)
        text, variable = _looked_up(written or each.usual, environment)
        if not text:
            raise SetupError(f"enter {_within(each.label)}")
        words[each.word] = text
        if variable:
            given[each.word] = variable
    return words, given


def _looked_up(text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """A text, or what the variable holds that it names, and then that variable."""
    reference = _REFERENCE.fullmatch(text.strip())
    if reference is None:
        return text, ""
    variable = reference[1]
    if not environment.get(variable):
        raise SetupError(f"environment variable {variable} is not set: {WHERE_SET}")
    return environment[variable], variable


def _settings(kind: str, words: Mapping[str, str], zone: str) -> Any:
    document: dict[str, Any] = {"kind": kind, **words, "zone": zone or None}
    if not _is_database(kind) and (calls := _calls_per_s(kind)):
        document["budget"] = {"calls_per_s": calls}
    return registry.record_settings(kind).model_validate(document)


def _why(error: ValidationError, kind: str) -> str:
    first = error.errors(include_url=False)[0]
    word = str(first["loc"][0]) if first["loc"] else ADDRESS.word
    message = of_settings(first)
    if _is_database(kind):
        return message if word == ADDRESS.word else f"{word}: {message}"
    labels = {each.word: each.label for each in asked(kind)}
    return f"{_within(labels.get(word, word))}: {message}"


def _within(label: str) -> str:
    """A label within a sentence; what begins with an abbreviation stays."""
    return label if label[1:2].isupper() else f"{label[:1].lower()}{label[1:]}"


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SetupError("unknown time zone; write a name such as UTC or Europe/Berlin") from None


def _variables(name: str, words: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """For each word a variable that holds its value already or is not set; all have the same number, if any."""
    for stem in _stems(re.sub(r"\W", "_", name, flags=re.ASCII).upper()):
        variables = {word: f"{stem}_{word.upper()}" for word in words}
        if all(environment.get(each, words[word]) == words[word] for word, each in variables.items()):
            return variables
    raise AssertionError  # there are infinitely many numbers


def _stems(stem: str) -> Iterator[str]:
    yield stem
    number = 1
    while True:
        number += 1
        yield f"{stem}_{number}"
