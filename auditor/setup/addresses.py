"""The two systems as a person enters them: address, password, name, time zone, and the variable that holds them.

The address with its login goes into the environment, never into the map, which names its variable. Pure but for the
settings models, which are loaded by kind. No text of this module quotes an address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from auditor.map.map_reader import NAME
from auditor.map.mistakes import of_settings
from auditor.setup.setup_error import SetupError
from auditor.systems.proposed_map import new_system, system_name
from probes import registry
from probes.secrets import Scrubber

EXAMPLE = "postgresql://USER@HOST/DATABASE"
"""How an address is written."""

_REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#@:]+)@(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What a person enters about one system.

    Attributes:
        address: a database URL, or `${NAME}` for one in the environment.
        password: if the address names a user without one; "" for none.
        name: in the map; "" for one after the database.
        zone: of times without one; "" if all have one.
    """

    address: str = field(repr=False)
    password: str = field(default="", repr=False)
    name: str = ""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSystem:
    """A system that the map will name.

    Attributes:
        variable: the environment variable that holds its address.
        known: the environment has that variable already.
    """

    name: str
    kind: str
    address: str = field(repr=False)
    variable: str
    zone: str
    known: bool

    @property
    def text(self) -> str:
        """Its entry in the map."""
        return new_system(self.name, self.kind, f"${{{self.variable}}}", self.zone or None)

    @property
    def settings(self) -> Any:
        """Its settings, to read it."""
        return _settings(self.kind, self.address, self.zone)

    @property
    def scrub(self) -> Scrubber:
        """Removes its secrets from texts."""
        return Scrubber.of_address(self.address)


def system_of(entered: Entered, at: int, environment: Mapping[str, str]) -> NewSystem:
    """The system that a person has described.

    Args:
        at: 0 for the source of truth, 1 for the system with the copies.
        environment: the variables that are set.

    Raises:
        SetupError: it cannot be used; says what to enter instead.
    """
    address, variable = _address(entered, environment)
    kind = registry.kind_of_address(address)
    zone = entered.zone.strip()
    _check_zone(zone)
    try:
        _settings(kind, address, zone)
    except ValidationError as error:
        raise SetupError(_why(error)) from None
    name = entered.name.strip() or system_name(address, at)
    if not NAME.fullmatch(name):
        raise SetupError("the name of a system is a letter followed by up to 62 letters, digits, - or _")
    if variable:
        return NewSystem(name=name, kind=kind, address=address, variable=variable, zone=zone, known=True)
    variable = _variable(name, address, environment)
    known = environment.get(variable) == address
    return NewSystem(name=name, kind=kind, address=address, variable=variable, zone=zone, known=known)


def pair_of(owner: Entered, copy: Entered, environment: Mapping[str, str]) -> tuple[NewSystem, NewSystem]:
    """Both systems.

    Raises:
        SetupError: one cannot be used, or both are the same; begins with which.
    """
    systems: list[NewSystem] = []
    for at, (entered, which) in enumerate(((owner, "source of truth"), (copy, "system with the copies"))):
        taken = {each.variable: each.address for each in systems}
        try:
            systems.append(system_of(entered, at, {**environment, **taken}))
        except SetupError as error:
            raise SetupError(f"{which}: {error}") from None
    mine, theirs = systems
    if mine.address == theirs.address:
        raise SetupError("system with the copies: this is the address of the source of truth; enter another")
    if mine.name == theirs.name:
        if not copy.name.strip():
            return pair_of(owner, replace(copy, name=f"{mine.name}_copy"), environment)
        raise SetupError(f"system with the copies: {mine.name} is the name of the source of truth; enter another")
    return mine, theirs


def needs_password(address: str) -> bool:
    """Whether an address names a user without a password."""
    return _LOGIN.fullmatch(address.strip()) is not None


def _address(entered: Entered, environment: Mapping[str, str]) -> tuple[str, str]:
    """The whole address, and the variable that holds it already, "" for none."""
    text = entered.address.strip()
    if not text:
        raise SetupError(f"enter an address, such as {EXAMPLE}")
    if reference := _REFERENCE.fullmatch(text):
        variable = str(reference[1] or reference[2])
        if not environment.get(variable):
            raise SetupError(f"environment variable {variable} is not set")
        return environment[variable], variable
    if "://" not in text:
        raise SetupError(f"not a database URL; write for example {EXAMPLE}")
    if entered.password:
        login = _LOGIN.fullmatch(text)
        if login is None:
            raise SetupError("a password needs a user without one in the address, such as postgresql://USER@HOST")
        text = f"{login['scheme']}{login['user']}:{quote(entered.password, safe='')}@{login['rest']}"
    # A .env file would replace ${...} in it.
    return text.replace("${", "%24{"), ""


def _settings(kind: str, address: str, zone: str) -> Any:
    return registry.record_settings(kind).model_validate({"kind": kind, "url": address, "zone": zone or None})


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    word = str(first["loc"][0]) if first["loc"] else "url"
    message = of_settings(first)
    return message if word == "url" else f"{word}: {message}"


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SetupError("unknown time zone; write a name such as UTC or Europe/Berlin") from None


def _variable(name: str, address: str, environment: Mapping[str, str]) -> str:
    """A variable that holds this address already or is not set."""
    stem = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
    variable, number = f"{stem}_URL", 1
    while environment.get(variable, address) != address:
        number += 1
        variable = f"{stem}_{number}_URL"
    return variable
