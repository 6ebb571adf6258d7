"""The guided path: its steps, what each needs and yields, and the value that grows from step to step. Pure.

A step takes a plan and what was found or decided, and answers the plan with it; what later steps had yielded from
something else is gone. The terminal and the page do the reading and asking between the steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from auditor.setup.addresses import NewSystem
from auditor.setup.setup_error import SetupError
from auditor.setup.trial import Checked, Trial
from auditor.systems.matches import Found, Match
from auditor.systems.proposed_map import as_yaml
from checks.tables import complete
from probes.wording import listed


class Step(StrEnum):
    """A step of the set-up, in order."""

    CONNECT = "connect"
    DISCOVER = "discover"
    PROPOSE = "propose"
    CHECK = "check"
    DRY_RUN = "dry run"
    VERDICTS = "first verdicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a step is called, and what it does in one sentence."""

    word: str
    meaning: str


ABOUT = complete(
    {
        Step.CONNECT: About(word="Connect", meaning="Enter two systems and how to sign in to them."),
        Step.DISCOVER: About(word="Discover", meaning="Choose which of the collections found in both are audited."),
        Step.PROPOSE: About(word="Propose", meaning="Read the proposed map, and edit it."),
        Step.CHECK: About(word="Check", meaning="Correct the map's mistakes."),
        Step.DRY_RUN: About(word="Dry run", meaning="Connect as the auditor would, and read the first records."),
        Step.VERDICTS: About(word="First verdicts", meaning="Write the map, and audit every record once."),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How far a set-up has come; what is None is not there yet.

    Attributes:
        systems: the source of truth, and the system with the copies.
        found: what they have in common.
        chosen: positions in `found.matches` of the pairs to audit.
        text: the map.
        checked: the text, checked.
        trial: the dry run of the checked map.
        written: the map is in its file.
    """

    systems: tuple[NewSystem, NewSystem] | None = None
    found: Found | None = None
    chosen: tuple[int, ...] | None = None
    text: str | None = None
    checked: Checked | None = None
    trial: Trial | None = None
    written: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the systems, with their values."""
        return {variable: value for each in self.systems or () for variable, value in each.values.items()}

    @property
    def unset(self) -> dict[str, str]:
        """Those that the environment does not have yet."""
        known = {variable for each in self.systems or () for variable in each.known}
        return {variable: value for variable, value in self.variables.items() if variable not in known}

    def scrub(self, text: str) -> str:
        """The text without the secrets of the systems."""
        for each in self.systems or ():
            text = each.scrub(text)
        return text


def step_of(plan: Plan) -> Step:
    """The first step that is not done."""
    if plan.systems is None:
        return Step.CONNECT
    if plan.chosen is None:
        return Step.DISCOVER
    if plan.checked is None:
        return Step.PROPOSE
    if plan.checked.loaded is None:
        return Step.CHECK
    return Step.DRY_RUN if plan.trial is None else Step.VERDICTS


def connected(systems: tuple[NewSystem, NewSystem]) -> Plan:
    """Begin with two systems."""
    return Plan(systems=systems)


def discovered(plan: Plan, found: Found) -> Plan:
    """What the two have in common is known."""
    return Plan(systems=plan.systems, found=found)


def proposed(plan: Plan, chosen: Collection[int]) -> Plan:
    """The pairs are chosen; the plan has the text of a map for them.

    Raises:
        SetupError: none is chosen, or one does not exist.
    """
    assert plan.systems is not None
    assert plan.found is not None
    pairs = sorted({*chosen})
    if not pairs:
        raise SetupError("choose at least one pair of collections")
    if not 0 <= pairs[0] <= pairs[-1] < len(plan.found.matches):
        raise SetupError(f"choose pairs from 1 to {len(plan.found.matches)}")
    matches = [plan.found.matches[at] for at in pairs]
    text = as_yaml(replace(plan.found, matches=matches), (plan.systems[0].text, plan.systems[1].text))
    return Plan(systems=plan.systems, found=plan.found, chosen=tuple(pairs), text=text)


def checked(plan: Plan, result: Checked) -> Plan:
    """The text, as it is or edited, is checked.

    Raises:
        SetupError: it has an address or a secret in it.
    """
    for each in plan.systems or ():
        for word, secrets in each.secrets.items():
            if any(secret in result.text for secret in secrets if len(secret) >= LEAST_SECRET or "://" in secret):
                raise SetupError(
                    f"the map holds the login of {each.name}, and a map is no place for secrets: write "
                    f'{word}: "${{{each.variables[word]}}}"'
                )
    return replace(plan, text=result.text, checked=result, trial=None)


def tried(plan: Plan, trial: Trial) -> Plan:
    """The dry run is over."""
    return replace(plan, trial=trial)


def written(plan: Plan) -> Plan:
    """The map is in its file."""
    return replace(plan, written=True)


SHOWN = 5
"""How many collections a sentence names."""

LEAST_SECRET = 6
"""Shorter secrets may stand in a map by chance."""


def usable(match: Match) -> bool:
    """Whether a pair is proposed unless a person objects: some records are in both, and some field is comparable."""
    return match.common > 0 and not all(each.incomparable for each in match.fields)


def doubt(match: Match) -> str:
    """What an audit of a pair would come to if it is not usable, in a sentence; "" if it is."""
    if usable(match):
        return ""
    both = f"{match.left.name} and {match.right.name}"
    if not match.common:
        return f"{both} have no record in common by this key: an audit would report all of them as missing."
    return f"{both} have no field that can be compared: an audit would only notice records that are missing."


def nothing_found(found: Found) -> list[str]:
    """Why two systems may have nothing in common, and what to do, in sentences."""
    told = [
        "The two systems have no collections in common that could be recognised by their records.",
        *unread(found),
        *without_records(found),
    ]
    held = {system: _held(found, system) for system in found.systems}
    if all(held.values()):
        looked_at = " and ".join(f"{_some(names)} of {system}" for system, names in held.items())
        return [
            *told,
            f"Records of {looked_at} were compared. A pair is recognised by a key that has the same values in both: "
            "a primary key, a unique column, or a column whose name says so, such as id or customer_id.",
        ]
    return [
        *told,
        "Is it the right database or account? A login sees only what it may read: grant both read access to what is "
        "to be audited, then connect again.",
    ]


def _held(found: Found, system: str) -> list[str]:
    """The collections of a system whose records could be read."""
    without = {*found.bare.get(system, ()), *found.unread.get(system, ())}
    return [] if system in found.empty else [each for each in found.alone.get(system, []) if each not in without]


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    return (
        listed(names, "and") if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    )


def unread(found: Found) -> list[str]:
    """Which system holds nothing that could be read, and what else could not be, in sentences."""
    told = [f"{system} holds no records that this login may read." for system in found.empty]
    for system, reasons in found.unread.items():
        together: dict[str, list[str]] = {}
        for collection, why in reasons.items():
            together.setdefault(why, []).append(collection)
        told += [f"{listed(names, 'and')} of {system} cannot be read: {why}." for why, names in together.items()]
    return told


def without_records(found: Found) -> list[str]:
    """Which collections hold nothing by which they could have been recognised, in sentences."""
    return [
        f"{listed(bare, 'and')} of {system} {'holds' if len(bare) == 1 else 'hold'} no records that this login may "
        "read, so no fields could be matched."
        for system, bare in found.bare.items()
        if bare
    ]


def pair_rows(found: Found) -> list[Mapping[str, Any]]:
    """The pairs of collections that were found, with the evidence, as rows of a table."""
    return [pair_row(at, match, found.systems) for at, match in enumerate(found.matches)]


def pair_row(at: int, match: Match, systems: Sequence[str]) -> Mapping[str, Any]:
    """One of them."""
    keys = " = ".join(", ".join(each.name for each in key) for key in match.keys)
    return {
        "pair": at + 1,
        f"collection in {systems[0]}": match.left.name,
        f"collection in {systems[1]}": match.right.name,
        "records in both": f"{match.common} of {match.asked}",
        "key": keys,
        "fields": len([each for each in match.fields if not each.incomparable]),
    }


def field_rows(match: Match) -> list[Mapping[str, Any]]:
    """The matched fields of a pair with the evidence for each, as rows of a table."""
    return [
        {"field": each.left.name, "field of the copy": each.right.name, "evidence": each.evidence}
        for each in match.fields
    ]
