"""What two systems have in common, written as a map for a person to edit. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

from auditor.escaping import visible
from auditor.systems.alike_names import words_of
from auditor.systems.matches import FieldMatch, Found, Match
from auditor.systems.pairing import common_key_type, common_type
from probes.contract import CollectionSchema
from probes.phone_numbers import PHONE

STAMPS = re.compile(r"(updated|modified|changed|systemmodstamp)", re.IGNORECASE)
"""Names of fields that say when a record changed."""

_NOT_NAME = re.compile(r"[^A-Za-z0-9]+")
_VARIABLE = re.compile(r"\$\{[A-Za-z_]\w*\}")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_LONGEST_NAME = 63
"""Characters of any name that the map gives."""

LONGEST_SYSTEM = 30
"""Characters of a proposed system's name, so that flows can be named after two of them."""

WINDOW_S = 60.0
"""A first guess at a window."""

STALE_TIMES = 3
"""So much longer than a system may return stale data is a window at least."""

LISTED = 40
"""Most names in a comment."""

LONGEST_KEY = 1_000
"""Most characters of a written field name: YAML accepts no one-line key beyond 1,024."""


def as_yaml(found: Found, systems: tuple[str, str]) -> str:
    """The proposal as a map: what is certain is written, what a person must decide is marked with TODO.

    Args:
        systems: the two systems' map entries, with their names.
    """
    return "\n".join(_yaml(found, systems)) + "\n"


def new_system(name: str, kind: str, url: str, zone: str | None = None) -> str:
    """The map entry of a database that is in no map yet.

    Args:
        zone: of its times without one, None if nobody has said.
    """
    if zone is None:
        return f'  {_name(name)}: {{kind: {kind}, url: "{url}"}}  # TODO zone: needed if its times have no time zone'
    return f'  {_name(name)}: {{kind: {kind}, url: "{url}", zone: {_value(zone)}}}'


def described_system(name: str, kind: str, words: Mapping[str, str], calls_per_s: int | None) -> str:
    """The map entry of a system that is in no map yet, by the words of its kind's settings.

    Args:
        words: each as it stands in the map, such as `${CRM_TOKEN}`; what is no variable is quoted.
        calls_per_s: its budget, None for none.
    """
    texts = [("kind", kind)]
    texts += [(word, f'"{text}"' if _VARIABLE.fullmatch(text) else _value(text)) for word, text in words.items()]
    texts += [("budget", _mapping([("calls_per_s", str(calls_per_s))]))] if calls_per_s else []
    return f"  {_name(name)}: {_mapping(texts)}"


def system_name(address: str, at: int) -> str:
    """A name for a database that is in no map yet: the last part of its address's path, or its host.

    Args:
        at: 0 for the owner, 1 for the system with the copies.
    """
    _, _, rest = address.partition("://")
    place, _, path = rest.partition("?")[0].partition("/")
    last = path.rstrip("/").rpartition("/")[2] or place.rpartition("@")[2].partition(":")[0]
    name = _NOT_NAME.sub("_", unquote(last).partition(".")[0]).strip("_")[:LONGEST_SYSTEM]
    return name if name[:1].isalpha() else f"system_{name or at + 1}"


def _name(text: str) -> str:
    """A text as a key of YAML, or as a value that is never replaced from the environment."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML else _quoted(text)


def _value(text: str) -> str:
    """A text as a value of YAML, whose `$` the map would otherwise take for a variable."""
    return _name(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if visible(f"x{character}x") == f"x{character}x":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _mapping(words: Iterable[tuple[str, str]]) -> str:
    """Keys and values, already formatted, on one line."""
    return "{" + ", ".join(f"{word}: {text}" for word, text in words) + "}"


def _list(texts: Iterable[str]) -> str:
    """Values, already formatted, on one line."""
    return "[" + ", ".join(texts) + "]"


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _comment(text: object) -> str:
    return f"# {visible(text)}"


def _yaml(proposal: Found, systems: tuple[str, str]) -> Iterator[str]:
    left, right = proposal.systems
    yield "# Proposed from what the two systems hold; check every line."
    yield "version: 1"
    yield "systems:"
    yield from systems
    yield "data_types:"
    names: dict[str, Match] = {}
    for match in proposal.matches:
        if all(each.incomparable for each in match.fields):
            continue
        name = _data_type_name(match, names, longest=_LONGEST_NAME - len(f"_to_{right}"))
        names[name] = match
        yield from _data_type(name, match, proposal)
    if not names:
        yield "  # nothing in common was found"
    yield "flows:"
    for name, match in names.items():
        yield f"  {_name(f'{name}_to_{right}')}:"
        yield f"    data_type: {_name(name)}"
        yield f"    from: {_name(left)}"
        yield f"    to: {_name(right)}"
        yield "    pattern: near-real-time  # TODO how does it flow?"
        yield "    team: TODO"
        if match.common < match.asked:
            missing = match.asked - match.common
            yield f"    # {missing} of the {match.asked} records of {left} looked at are not in {right}"
    for system, alone in proposal.alone.items():
        if alone:
            yield _comment(f"without a counterpart in {system}: {_some(alone)}")


def _data_type_name(match: Match, taken: Container[str], longest: int) -> str:
    """A name valid in the map, as close to the collection's as possible."""
    name = _NOT_NAME.sub("_", words_of(match.left.name)).strip("_") or "record"
    name = (name if name[0].isalpha() else f"record_{name}")[: max(1, longest)]
    numbered, number = name, 1
    while numbered in taken:
        number += 1
        numbered = f"{name[: max(1, longest - len(f'_{number}'))]}_{number}"
    return numbered


def _data_type(name: str, match: Match, proposal: Found) -> Iterator[str]:
    left, right = proposal.systems
    yield f"  {_name(name)}:  # {match.common} of {match.asked} records are in both"
    yield f"    owner: {_name(left)}  # TODO which of the two is the source of truth?"
    yield f"    window: {_window(proposal.stale_s)}"
    types = match.key_types or tuple(common_key_type(one, other) for one, other in zip(*match.keys, strict=True))
    text = types[0] if len({*types}) == 1 else _list(types)
    if match.as_written is not None:
        why = "as they are written" if PHONE in types else "where case matters"
        text += f"  # {match.as_written} of {match.asked} {why}"
    yield f"    key_type: {text}"
    if match.key_region is not None:
        yield f"    key_region: {_quoted(match.key_region)}  # TODO the country of numbers without a country code?"
    stamps = [_stamp(match.left), _stamp(match.right)]
    yield "    fields:"
    for pair in match.fields:
        if pair.left.name == stamps[0] or pair.right.name == stamps[1]:
            continue
        if len(_name(pair.left.name)) > LONGEST_KEY:
            yield f"      {_comment(f'TODO not proposed, its name is too long for a key: {pair.left.name[:60]}…')}"
            continue
        if pair.incomparable:
            todo = "each system seems to have its own" if pair.own else "set type: and map:, or remove the field"
            why = f"{pair.left.name}: TODO not compared: {pair.evidence}; {todo}"
            yield f"      {_comment(why)}"
            continue
        yield f"      {_name(pair.left.name)}: {{{_rule(pair, (left, right))}}}  {_comment(pair.evidence)}"
    yield "    in:"
    for system, side, key, stamp, at in (
        (left, match.left, match.keys[0], stamps[0], 0),
        (right, match.right, match.keys[1], stamps[1], 1),
    ):
        renamed = {
            pair.left.name: pair.right.name
            for pair in match.fields
            if pair.left.name != pair.right.name
            and not pair.incomparable
            and len(_name(pair.left.name)) <= LONGEST_KEY
        }
        fields = [_value(each.name) for each in key]
        words = [("collection", _value(side.name)), ("key", fields[0] if len(fields) == 1 else _list(fields))]
        words += [("changed_at", _value(stamp))] if stamp else []
        if at:
            pairs = [
                (_name(one), _value(other))
                for one, other in renamed.items()
                if one != stamps[0] and other != stamps[1]
            ]
            words += [("fields", _mapping(pairs))] if pairs else []
        yield f"      {_name(system)}: {_mapping(words)}"
        if match.unmatched[at]:
            yield f"      {_comment(f'not matched in {system}: ' + _some(match.unmatched[at]))}"


def _stamp(side: CollectionSchema) -> str | None:
    """What shows when a record changed: as the system says, otherwise the first field that is named like a stamp."""
    return side.changed_at or next((each.name for each in side.fields if STAMPS.search(each.name)), None)


def _window(stale_s: float) -> str:
    """A guess at a window, which cannot be shorter than stale data may be returned."""
    if STALE_TIMES * stale_s <= WINDOW_S:
        return f"{_duration(WINDOW_S)}  # TODO how long may a copy differ?"
    window, stale = (_duration(each) for each in (STALE_TIMES * stale_s, stale_s))
    return f"{window}  # TODO how long may a copy differ? at least {stale}: for so long a change may be invisible"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g}m" if seconds > 60 else f"{seconds:g}s"


def _rule(pair: FieldMatch, systems: tuple[str, str]) -> str:
    """The settings of a field in YAML."""
    compared = pair.compared
    if compared.labels:
        labels = [
            (_quoted(code), _quoted((label or "TODO").replace("$", "$$"))) for code, label in compared.labels.items()
        ]
        return f"type: enum, map: {{{_quoted(systems[compared.coded])}: {_mapping(labels)}}}"
    words = [
        f"{word}: {_quoted(value) if isinstance(value, str) else str(value).lower()}"
        for word, value in compared.words.items()
    ]
    return ", ".join([f"type: {common_type(pair.left, pair.right)}", *words])
