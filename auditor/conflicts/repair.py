"""Repair proposals: the writes that would make differing records right. Nothing is ever executed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from auditor.conflicts.held_values import as_held, values_of, written
from auditor.conflicts.policy import Resolver
from auditor.conflicts.proposal import Proposal
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from auditor.systems.reader import SystemReader
from checks.cause import Cause, Kind
from checks.causes import Finding
from checks.comparison import Comparison
from checks.conflicts import Resolution, Winner
from checks.records import Grouped, RecordComparer
from checks.sides import raw_values
from checks.values import UnreadableError
from probes import registry
from probes.contract import KEY, MISSING, Key, ProbeError, ReadSpec, Row
from probes.exact_json import Undecodable
from probes.settings import Binding
from probes.wording import counted, percent


def propose(
    integration_map: IntegrationMap,
    ledger: Ledger,
    readers: Mapping[str, SystemReader],
    digest_key: bytes,
    flows: Sequence[str],
    *,
    records: Collection[tuple[str, str]] | None = None,
) -> list[Proposal]:
    """Read every record with an open divergence again, and propose how to make it right.

    Args:
        records: only these, by flow and key.
    """
    proposals = []
    open_now = ledger.findings.open_records()
    for name in flows:
        flow = integration_map.flow(name)
        mine = [
            each for each in open_now if each["flow"] == name and (records is None or (name, each["key"]) in records)
        ]
        if mine:
            proposals += _of_flow(flow, mine, readers, digest_key)
    return proposals


def _of_flow(
    flow: Flow, open_now: Sequence[Mapping[str, Any]], readers: Mapping[str, SystemReader], digest_key: bytes
) -> list[Proposal]:
    comparer = flow.comparer(digest_key)
    open_rows: dict[Key, Mapping[str, Any]] = {}
    for each in open_now:
        key = flow.parse_key(each["key"])
        if key is not None:
            open_rows[key] = {**each, "key": key}
    keys = list(open_rows)
    groups: list[Grouped] = []
    unreadable: dict[Key, str] = {}
    for side, system, spec in (
        (comparer.owner, flow.source_name, flow.source_spec),
        (comparer.target, flow.target_name, flow.target_spec),
    ):
        reading = readers[system].fetch(spec, keys)
        if reading.error is not None:
            return [_none(flow, each, f"{system} cannot be read: {reading.error}") for each in open_rows.values()]
        groups.append(comparer.group(side, reading.rows))
        unreadable |= {**reading.doubled, **reading.unreadable, **groups[-1].unreadable}
    try:
        natives = {
            flow.source_name: column_types(readers[flow.source_name], flow.source_spec),
            flow.target_name: column_types(readers[flow.target_name], flow.target_spec),
        }
    except ProbeError as error:
        return [_none(flow, each, f"the types of the columns cannot be read: {error}") for each in open_rows.values()]
    resolver = Resolver(flow, comparer)
    clocks = readers[flow.source_name].clock, readers[flow.target_name].clock
    proposals = []
    for key, each in open_rows.items():
        if key in unreadable:
            proposals.append(_none(flow, each, f"cannot verify: {unreadable[key]}"))
            continue
        rows = groups[0].rows.get(key, []), groups[1].rows.get(key, [])
        comparison = comparer.compare(key, *rows)
        if comparison.agrees:
            continue
        if comparison.unverifiable:
            proposals.append(_none(flow, each, f"cannot verify: {comparison.unverifiable}"))
            continue
        if comparison.unread:
            unread = ", ".join(field.field for field in comparison.unread)
            proposals.append(_none(flow, each, f"cannot verify: {unread} cannot be read"))
            continue
        finding = _finding(comparison, each)
        resolution = resolver.ask(comparison, finding, clocks, flow.source.clock_slack_s).resolution
        try:
            proposals += [
                _writable(flow, each, replace(proposal, natives=natives.get(proposal.system, {})))
                for proposal in _of_record(
                    flow, comparer, comparison, rows, each, resolution, marked=key in groups[1].deleted
                )
            ]
        except UnreadableError as error:
            proposals.append(_none(flow, each, str(error)))
    return _cautioned(flow, proposals, readers[flow.target_name])


def _cautioned(flow: Flow, proposals: list[Proposal], reader: SystemReader) -> list[Proposal]:
    """The proposals, with a caution on deletions if they would remove more than half of the copy."""
    count = sum(each.action == "delete" for each in proposals)
    if not count:
        return proposals
    reading = reader.page(flow.target_spec.keys_only(), None, 2 * count)
    records = len(reading.rows)
    if reading.error is not None:
        caution = (
            f"{counted(count, 'record')} would be deleted, and {reader.name} could not be counted: {reading.error}"
        )
    elif reading.truncated or records >= 2 * count:
        return proposals
    else:
        caution = (
            f"{count} of the {counted(records, 'record')} of {reader.name} would be deleted "
            f"({percent(count / max(records, count))}): "
            f"is {flow.source_name} really without these records, or did it return an incomplete result?"
        )
    return [
        replace(each, warnings=(caution, *each.warnings)) if each.action == "delete" else each for each in proposals
    ]


def column_types(reader: SystemReader, spec: ReadSpec) -> Mapping[str, Any]:
    """The types of a collection's columns; empty if the system has no column types."""
    types_of = getattr(reader.probe, "column_types", None)
    return {} if types_of is None else reader.call(lambda: types_of(spec))


def _writable(flow: Flow, divergence: Mapping[str, Any], proposal: Proposal) -> Proposal:
    """The proposal, or an empty one with the reason if a value has no exact form in the target system."""
    if proposal.action == "none":
        return proposal
    settings = flow.held_by[proposal.system][0]
    try:
        for value in proposal.changes.values():
            refuse_uncertain(value)
        statement_of(settings, proposal)
    except ValueError as error:
        return _none(flow, divergence, f"{proposal.action} in {proposal.system}: {error}")
    return proposal


def statement_of(settings: Any, proposal: Proposal) -> str | None:
    """The proposal as a statement of its system's own language; None if there is no such language.

    Raises:
        ValueError: a value has no exact form there.
    """
    write = registry.statement_writer(settings)
    if write is None:
        return None
    guard = {name: None if value is MISSING else value for name, value in proposal.guard.items()}
    changes = proposal.changes
    value: Any = proposal.key if proposal.held_key is None else proposal.held_key
    if isinstance(proposal.key_field, str):
        key = (proposal.key_field, value)
    else:
        key, *parts = zip(proposal.key_field, value, strict=True)
        if proposal.action == "insert":
            changes = {**changes, **dict(parts)}
        else:
            guard |= dict(parts)
    return write(proposal.action, proposal.collection, key, changes, guard, proposal.natives)


def refuse_uncertain(value: Any) -> None:
    """Raise ValueError for an uncertain value, or one that contains an uncertain value."""
    if isinstance(value, Undecodable):
        raise UnreadableError(value.reason)
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for each in inner:
        refuse_uncertain(each)


def refuse_computed(system: str, binding: Binding, names: Sequence[str]) -> None:
    """Raise UnreadableError for fields that a system computes, so that no value can be written for them."""
    for name in names:
        if name in binding.computed:
            fields = ", ".join(binding.sources(name))
            raise UnreadableError(f"{name} is computed in {system} from {fields}: correct these there by hand")


def _finding(comparison: Comparison, divergence: Mapping[str, Any]) -> Finding:
    """The audits' finding from the ledger, for the fields that differ now."""
    causes = {each["field"]: each.get("cause") for each in json.loads(divergence["differences"])}
    cause = Cause(divergence["cause"])
    fields = tuple(Cause(causes.get(each.field) or cause.value) for each in comparison.differences)
    kind = Kind.DUPLICATE if comparison.duplicates else Kind(divergence["kind"])
    return Finding(kind=kind, cause=cause, permitted=bool(divergence["permitted"]), fields=fields)


def _none(flow: Flow, divergence: Mapping[str, Any], why: str) -> Proposal:
    return Proposal(
        flow=flow.name,
        data_type=flow.settings.data_type,
        key=divergence["key"],
        cause=divergence["cause"],
        action="none",
        system="",
        changes={},
        guard={},
        why=why,
    )


def _of_record(
    flow: Flow,
    comparer: RecordComparer,
    comparison: Comparison,
    rows: tuple[Sequence[Row], Sequence[Row]],
    divergence: Mapping[str, Any],
    resolution: Resolution,
    *,
    marked: bool,
) -> list[Proposal]:
    """The proposals for one record.

    Args:
        marked: the target has the record and marks it as deleted.
    """
    if resolution.abstains:
        return [_none(flow, divergence, f"a person must decide: {resolution.why}")]
    flag = flow.target_binding.deleted
    if not rows[0] and rows[1]:
        present = values_of(flow.target_binding, flow, rows[1][0])
        if flag is not None and flag.written is None:
            how = f"{flow.target_name} keeps what is deleted: mark the record there ({flag.field}); do not remove it"
            return [_none(flow, divergence, f"{resolution.why}; {how}")]
        action, changes = ("delete", {}) if flag is None else ("update", {flag.field: flag.written})
        deleted = _whole(flow, divergence, resolution, action, flow.target_name, changes, present)
        return [replace(deleted, held_key=rows[1][0][KEY])]
    if flag is not None and marked:
        why = f"{flow.target_name} has the record and marks it as deleted ({flag.field}): restore it there"
        return [_none(flow, divergence, f"{resolution.why}; {why}")]
    if rows[0] and not rows[1]:
        refuse_computed(flow.target_name, flow.target_binding, flow.field_names)
        values = {
            name: as_held(flow, name, (flow.source_name, flow.target_name), raw, None, comparison.owner, at)
            for at, (name, raw) in enumerate(
                zip(flow.field_names, raw_values(comparer.owner, rows[0][0]), strict=True)
            )
        }
        named = {flow.target_binding.fields.get(name, name): value for name, value in values.items()}
        added = _whole(flow, divergence, resolution, "insert", flow.target_name, named, {})
        # The target may write the key in any way; where it has no form of its own, it is the owner's.
        free = flow.target_spec.written_freely
        return [replace(added, held_key=rows[0][0][KEY]) if free else added]
    proposals = []
    sides = (comparer.owner, comparer.target)
    for system, binding, mine, theirs, loses_to in (
        (flow.target_name, flow.target_binding, 1, 0, Winner.OWNER),
        (flow.source_name, flow.source_binding, 0, 1, Winner.TARGET),
    ):
        changes, guard = {}, {}
        for difference, place in zip(comparison.differences, comparison.places, strict=True):
            winner = resolution.fields.get(difference.field, resolution.winner)
            column = binding.fields.get(difference.field, difference.field)
            present = raw_values(sides[mine], rows[mine][0])[place.position]
            if winner is loses_to:
                other = flow.source_name if theirs == 0 else flow.target_name
                copy = comparison.owner if theirs == 0 else comparison.target
                raw = raw_values(sides[theirs], rows[theirs][0])[place.position]
                changes[column] = as_held(flow, difference.field, (other, system), raw, present, copy, place.position)
            elif winner is Winner.MERGED:
                rule = flow.data_type.fields[difference.field]
                changes[column] = written(rule, system, resolution.merged[difference.field])
            else:
                continue
            refuse_computed(system, binding, [difference.field])
            guard[column] = present
        if changes:
            updated = _whole(flow, divergence, resolution, "update", system, changes, guard)
            proposals.append(replace(updated, held_key=rows[mine][0][0]))
    return proposals or [_none(flow, divergence, resolution.why)]


def _whole(
    flow: Flow,
    divergence: Mapping[str, Any],
    resolution: Resolution,
    action: str,
    system: str,
    changes: Mapping[str, Any],
    guard: Mapping[str, Any],
) -> Proposal:
    binding = flow.target_binding if system == flow.target_name else flow.source_binding
    if binding.crosswalk is not None:
        held = f"{binding.crosswalk.collection} in {binding.crosswalk.system}"
        raise UnreadableError(f"{action} it in {system} by hand, under the key that {held} pairs it with")
    return Proposal(
        flow=flow.name,
        data_type=flow.settings.data_type,
        key=divergence["key"],
        cause=divergence["cause"],
        action=action,
        system=system,
        collection=binding.collection,
        key_field=binding.key,
        changes=changes,
        guard=guard,
        why=resolution.why,
        warnings=flow.replay_warnings,
        held_key=None if isinstance(binding.key, str) else flow.data_type.key_values(divergence["key"]),
    )
