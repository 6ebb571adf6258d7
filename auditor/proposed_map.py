"""What two systems have in common, written as a map for a person to edit. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from auditor.discover import FieldMatch, Found, Match, common_type, key_type, words_of
from probes.contract import CollectionSchema

STAMPS = re.compile(r"(updated|modified|changed|systemmodstamp)", re.IGNORECASE)
"""Names of fields that tell when a record changed."""

_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def as_yaml(found: Found, systems: tuple[str, str]) -> str:
    """The proposal as a map: what is certain is written, what a person must say is marked with TODO.

    Args:
        systems: the two as they stand in a map, with their names.
    """
    return "\n".join(_yaml(found, systems)) + "\n"


def new_system(name: str, url: str) -> str:
    """A database that stands in no map yet, as it would stand in one."""
    return f"  {name}: {{kind: sql, url: {json.dumps(url)}}}  # TODO zone: of instants that carry none"


def _yaml(found: Found, systems: tuple[str, str]) -> Iterator[str]:
    left, right = found.systems
    yield "# Proposed by `auditor discover` from what the two systems hold; every line is for you to check."
    yield "version: 1"
    yield "systems:"
    yield from systems
    yield "data_types:"
    names: list[tuple[str, Match]] = []
    for match in found.matches:
        if all(each.incomparable for each in match.fields):
            continue
        name = _NOT_NAME.sub("_", words_of(match.left.name).replace(" ", "_")) or "record"
        names.append((name, match))
        yield from _data_type(name, match, left, right)
    if not names:
        yield "  # nothing in common was found"
    yield "flows:"
    for name, match in names:
        yield f"  {name}_to_{right}:"
        yield f"    data_type: {name}"
        yield f"    from: {left}"
        yield f"    to: {right}"
        yield "    pattern: near-real-time  # TODO how does it flow?"
        yield "    team: TODO"
        if match.common < match.asked:
            missing = match.asked - match.common
            yield f"    # {missing} of the {match.asked} records of {left} looked at are not in {right}"
    for system, alone in found.alone.items():
        if alone:
            yield f"# without a counterpart in {system}: {', '.join(alone)}"


def _data_type(name: str, match: Match, left: str, right: str) -> Iterator[str]:
    yield f"  {name}:  # {match.common} of {match.asked} records are in both"
    yield f"    owner: {left}  # TODO which of the two is the source of truth?"
    yield "    window: 60s  # TODO how long may a copy differ?"
    key_types = {key_type(each) for each in match.keys}
    yield f"    key_type: {key_types.pop() if len(key_types) == 1 else 'string'}"
    stamps = [
        next((each.name for each in side.fields if STAMPS.search(each.name)), None)
        for side in (match.left, match.right)
    ]
    yield "    fields:"
    for pair in match.fields:
        if pair.left.name == stamps[0] or pair.right.name == stamps[1]:
            continue
        if pair.incomparable:
            yield f"      # {pair.left.name}: TODO not compared: {pair.evidence}; say type: and map: or take it away"
            continue
        yield f"      {pair.left.name}: {{{_rule(pair, (left, right))}}}  # {pair.evidence}"
    yield "    in:"
    for system, side, key, stamp, at in (
        (left, match.left, match.keys[0], stamps[0], 0),
        (right, match.right, match.keys[1], stamps[1], 1),
    ):
        renamed = {
            pair.left.name: pair.right.name
            for pair in match.fields
            if pair.left.name != pair.right.name and not pair.incomparable
        }
        words = [f"collection: {side.name}", f"key: {key.name}"]
        words += [f"changed_at: {stamp}"] if stamp else []
        if at and renamed:
            told = ", ".join(f"{one}: {other}" for one, other in renamed.items() if one != stamps[0])
            words += [f"fields: {{{told}}}"] if told else []
        yield f"      {system}: {{{', '.join(words)}}}"
        if match.unmatched[at]:
            yield f"      # not matched in {system}: {', '.join(match.unmatched[at])}"


def _rule(pair: FieldMatch, systems: tuple[str, str]) -> str:
    """The words of a field in YAML."""
    compared = pair.compared
    if compared.labels:
        labels = {code: label or "TODO" for code, label in compared.labels.items()}
        return f"type: enum, map: {json.dumps({systems[compared.coded]: labels}, ensure_ascii=False)}"
    words = [f"{word}: {json.dumps(value)}" for word, value in compared.words.items()]
    return ", ".join([f"type: {common_type(pair.left, pair.right)}", *words])


def _stamp(side: CollectionSchema) -> str | None:
    return next((each.name for each in side.fields if STAMPS.search(each.name)), None)
