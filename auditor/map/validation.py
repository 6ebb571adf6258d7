"""Contradictions in a map: unknown names, impossible windows, policies that lack what they need. Pure, except that it
loads the merge functions that the map names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auditor.map.blind_spots import finds_nothing
from auditor.map.integration_map import IntegrationMap
from auditor.map.merge_functions import load_merge
from auditor.map.record_links import link_mistakes
from auditor.map.route_mistakes import route_mistakes
from auditor.map.settings import LONGEST_WINDOW_S, SHORTEST_WINDOW_S, DataType, FlowSettings
from checks.conflicts import MergeError, Policy
from checks.currencies import minor_digits
from checks.fields import ACTS_ON, FieldRule
from checks.keys import WRITTEN
from checks.per_system import named
from checks.validity import RuleError, RuleSet
from probes.durations import format_duration
from probes.letter_case import CASELESS
from probes.phone_numbers import EXTRA, PHONE, library, regions
from probes.registry import RECORD_KINDS, record_kind
from probes.settings import Binding, Crosswalk
from probes.wording import did_you_mean

Path_ = tuple[str | int, ...]

SYSTEM_WORDS = (
    "strip",
    "casefold",
    "strip_accents",
    "newlines",
    "normalize",
    "null_is",
    "map",
    "minor_units",
    "factor",
    "unit",
    "zone",
    "encoding",
)
"""Settings of a field that name systems."""

INSTEAD = {
    ("decimal", "minor_units"): 'write type: money with a currency, or factor: {billing: "0.01"} for a plain number',
    ("integer", "minor_units"): 'write type: money with a currency, or type: decimal with factor: {billing: "0.01"}',
    ("decimal", "currency"): "write type: money",
    ("integer", "factor"): "write type: decimal",
    ("money", "factor"): "write minor_units: [billing] for a system that counts cents",
    ("integer", "unit"): "write type: timestamp for an instant",
}
"""What to write instead of a setting that has no effect on a type."""

OF_ITEMS = ("strip", "casefold", "strip_accents", "newlines", "map", "factor", "scale", "unit", "zone", "encoding")
"""Settings that also apply to the items of an array and the bounds of a range."""

NUMBERS = ("integer", "decimal", "float", "money")
"""Field types that can express what a record is worth."""


def contradictions(integration_map: IntegrationMap, sections: Mapping[str, Any]) -> Iterator[tuple[Path_, str]]:
    """The contradictions in a map, each with the path of the setting at fault.

    Args:
        integration_map: the map, as far as it could be read.
        sections: the map's sections as written, for names whose own mistakes have been reported.
    """
    systems = sections.get("systems", {})
    for name, system in integration_map.systems.items():
        if system.zone is not None and not _is_zone(system.zone):
            yield ("systems", name, "zone"), f"unknown time zone {system.zone!r}; write for example UTC"
    for (name, holder), binding in integration_map.bindings.items():
        if getattr(binding, "since", None) == "local" and integration_map.systems[holder].zone is None:
            yield (
                ("data_types", name, "in", holder, "since"),
                f"local time needs a zone; set zone: of {holder}, for example Europe/Berlin",
            )
    for (name, holder), binding in integration_map.bindings.items():
        if name in integration_map.data_types and holder in integration_map.systems:
            yield from _written_contradictions(name, holder, binding, integration_map)
        if binding.crosswalk is not None:
            where = ("data_types", name, "in", holder, "crosswalk")
            data_type = integration_map.data_types[name]
            yield from _crosswalk_contradictions(where, binding.crosswalk, data_type, integration_map, systems)
    for name, data_type in integration_map.data_types.items():
        yield from _data_type_contradictions(name, data_type, systems)
    for name, flow in integration_map.flows.items():
        yield from _flow_contradictions(name, flow, integration_map, sections)
    yield from link_mistakes(integration_map)
    yield from _owner_loops(integration_map)
    yield from route_mistakes(integration_map)


def _alert_contradictions(path: Path_, flow: FlowSettings) -> Iterator[tuple[Path_, str]]:
    rule = flow.alert
    if rule.clean_audits is not None and rule.clear_after_s is not None:
        yield (*path, "alert", "clean_audits"), "clear_after says the same as a time; take clean_audits away"


def _data_type_contradictions(
    name: str, data_type: DataType, systems: Mapping[str, Any]
) -> Iterator[tuple[Path_, str]]:
    path: Path_ = ("data_types", name)
    mentions: list[tuple[Path_, str]] = [((*path, "owner"), data_type.owner)]
    mentions += [((*path, "writers", index), system) for index, system in enumerate(data_type.writers)]
    mentions += [
        ((*path, "consumers", index, "reads"), consumer.reads) for index, consumer in enumerate(data_type.consumers)
    ]
    mentions += [
        ((*path, "fields", field_name, "owner"), rule.owner)
        for field_name, rule in data_type.fields.items()
        if rule.owner
    ]
    for where, system in mentions:
        if system not in systems:
            yield where, f"unknown system {system!r}" + did_you_mean(system, systems)
        elif system not in data_type.in_:
            yield where, f"{system} is not listed under in: of {name}"
    mentions = [
        ((*path, "fields", field_name, "writers", index), system)
        for field_name, rule in data_type.fields.items()
        for index, system in enumerate(rule.writers)
    ]
    for where, system in mentions:
        if system not in systems:
            yield where, f"unknown system {system!r}" + did_you_mean(system, systems)
    for index, field_name in enumerate(data_type.business_key):
        if field_name not in data_type.fields:
            yield (
                (*path, "business_key", index),
                f"unknown field {field_name!r}" + did_you_mean(field_name, data_type.fields),
            )
    yield from _rule_contradictions(path, data_type)
    yield from _field_contradictions(path, data_type, systems)


def _field_contradictions(
    path: Path_, data_type: DataType, systems: Mapping[str, Any]
) -> Iterator[tuple[Path_, str]]:
    yield from _key_contradictions(path, data_type)
    if not data_type.fields:
        yield (*path, "fields"), "a data type needs at least one field to compare"
    for field_name, rule in data_type.fields.items():
        where: Path_ = (*path, "fields", field_name)
        for word in SYSTEM_WORDS:
            for system in named(getattr(rule, word)):
                if system not in systems:
                    listed = isinstance(getattr(rule, word), tuple)
                    yield (
                        (*where, word) if listed else (*where, word, system),
                        f"unknown system {system!r}" + did_you_mean(system, systems),
                    )
        if rule.window_s is not None and not SHORTEST_WINDOW_S <= rule.window_s <= LONGEST_WINDOW_S:
            yield (
                (*where, "window"),
                f"a window of {format_duration(rule.window_s)}; windows of fields are from 1 s to 7 days",
            )
        for system, zone in rule.zone.items():
            if not _is_zone(zone):
                yield (*where, "zone", system), f"unknown time zone {zone!r}"
        yield from _word_contradictions(where, field_name, rule, data_type)


def _key_contradictions(path: Path_, data_type: DataType) -> Iterator[tuple[Path_, str]]:
    """Types of a key that fit its fields, and fields of it that are as many in every system."""
    count, types = data_type.key_count, data_type.key_types
    if len(types) != count:
        told = (
            "no system has a key of several fields: write one type" if count == 1 else f"the key has {count} fields"
        )
        yield (*path, "key_type"), f"{len(types)} types, and {told}"
    for system, binding in data_type.in_.items():
        key = binding.get("key") if isinstance(binding, Mapping) else None
        if isinstance(key, list | tuple) and len(key) != count:
            yield (
                (*path, "in", system, "key"),
                f"{len(key)} fields, and the key has {count} in another system; name {count}, or one that holds all",
            )
    if data_type.key_normalize != "nfc" and not {"string", CASELESS} & set(types):
        yield (*path, "key_normalize"), f"does nothing for key_type {', '.join(types)}; it acts on string"
    region = data_type.key_region
    if region is not None and PHONE not in types:
        yield (*path, "key_region"), f"does nothing for key_type {', '.join(types)}; it acts on {PHONE}"
    elif PHONE in types and library() is None:
        yield (*path, "key_type"), f"the library phonenumbers is not installed: {EXTRA}"
    elif region is not None and region not in regions():
        yield (*path, "key_region"), f"unknown region {region!r}; write two capital letters, for example DE"


def _written_contradictions(
    name: str, holder: str, binding: Binding, integration_map: IntegrationMap
) -> Iterator[tuple[Path_, str]]:
    """Keys that may be written in several ways, and systems that do not find them in each."""
    data_type, written = integration_map.data_types[name], binding.key_written
    path: Path_ = ("data_types", name, "in", holder)
    kind = integration_map.systems[holder].kind
    freely = data_type.types_written_freely
    key_type, words = " and ".join(freely or dict.fromkeys(data_type.key_types)), [WRITTEN[each] for each in freely]
    word = " or ".join(words)
    if not freely or binding.crosswalk is not None:
        if written is not None:
            why = f"does nothing for key_type {key_type}; it acts on {' and '.join(WRITTEN)}"
            own = "does nothing: the crosswalk says which keys the system has of its own"
            yield (*path, "key_written"), own if freely else why
    elif written not in {None, "any", *words}:
        yield (*path, "key_written"), f"keys of type {key_type} in their one form are {word}"
    elif (
        isinstance(binding.key, str)
        and data_type.key_count > 1
        and [written] != words
        and (kind, written) != ("rest", "any")
    ):
        one = f" or say key_written: {word} if it writes all of them so," if len(words) == 1 else ""
        yield (
            (*path, "key"),
            f"{holder} holds the whole key in one field, by which it is not found however its parts are written;"
            f"{one} name a field for each part",
        )
    elif written is None and kind == "rest":
        yield (
            (*path, "key"),
            f"only you know how the API compares keys of type {key_type}: say key_written: any if it finds a key "
            f"however it is written, or key_written: {word} if it holds all of them so",
        )
    elif written in {None, "any"} and kind != "rest" and not record_kind_finds(kind).issuperset(freely):
        yield (
            (*path, "key"),
            f"a system of kind {kind} does not find a {key_type} key however it is written; say key_written: {word} "
            "if it writes all of them so, or pair its keys by a crosswalk",
        )


def _word_contradictions(
    where: Path_, field_name: str, rule: FieldRule, data_type: DataType
) -> Iterator[tuple[Path_, str]]:
    """Settings that have no effect on the field's type, and currencies that cannot be found."""
    for word, types in ACTS_ON.items():
        obeyed = rule.type in types or rule.items in types
        if word in rule.model_fields_set and not obeyed and getattr(rule, word) != _default(word):
            instead = INSTEAD.get((rule.type, word), f"it acts on {' and '.join(sorted(types))}")
            yield (*where, word), f"does nothing for type {rule.type}; {instead}"
    if rule.type != "money":
        return
    source = rule.currency_field
    if source is not None and source not in data_type.fields:
        yield (
            (*where, "currency", "from"),
            f"unknown field {source!r}" + did_you_mean(source, data_type.fields),
        )
    elif source is not None and (type_ := data_type.fields[source].type) not in {"string", "enum"}:
        yield (*where, "currency", "from"), f"{source} is of type {type_}; a currency code is of type string or enum"
    elif isinstance(rule.currency, str) and rule.minor_units and minor_digits(rule.currency.upper()) is None:
        yield (
            (*where, "currency"),
            f"{rule.currency!r} is not an ISO 4217 currency with a minor unit, so its minor units cannot be counted",
        )


def _default(word: str) -> Any:
    return FieldRule.model_fields[word].get_default(call_default_factory=True)


def _crosswalk_contradictions(
    where: Path_,
    crosswalk: Crosswalk,
    data_type: DataType,
    integration_map: IntegrationMap,
    systems: Mapping[str, Any],
) -> Iterator[tuple[Path_, str]]:
    """Pairs that cannot be read in both directions, or whose keys are not those of the data type."""
    if crosswalk.system not in systems:
        yield (*where, "system"), f"unknown system {crosswalk.system!r}" + did_you_mean(crosswalk.system, systems)
        return
    holder = integration_map.systems.get(crosswalk.system)
    if holder is not None and not record_kind(holder).reads_by_any_field:
        *most, last = [kind for kind, each in RECORD_KINDS.items() if each.reads_by_any_field]
        yield (
            (*where, "system"),
            f"pairs are looked up by either of their keys, and a system of kind {holder.kind} is not read by any "
            f"field; copy them to a system of kind {', '.join(most)} or {last}",
        )
    freely = data_type.types_written_freely
    if holder is not None and not record_kind_finds(holder.kind).issuperset(freely):
        yield (
            (*where, "system"),
            f"a system of kind {holder.kind} does not find a {' and '.join(freely)} key however it is written",
        )
    count = len(crosswalk.key_fields)
    if count not in {1, data_type.key_count}:
        yield (*where, "key"), f"{count} fields, and the key of the data type has {data_type.key_count}"
    elif count < data_type.key_count and freely:
        yield (
            (*where, "key"),
            "one field, by which a key is not found however its parts are written; name a field for each part",
        )


def record_kind_finds(kind: str) -> frozenset[str]:
    """The types of keys that a kind of system finds however they are written."""
    return RECORD_KINDS[kind].finds


def _rule_contradictions(path: Path_, data_type: DataType) -> Iterator[tuple[Path_, str]]:
    types = {name: rule.type for name, rule in data_type.fields.items()}
    for name, expression in data_type.rules.items():
        try:
            RuleSet({name: expression}, types)
        except RuleError as error:
            unknown = re.search(r"undeclared reference to '(\w+)'", str(error))
            hint = did_you_mean(unknown[1], types) if unknown else ""
            yield (*path, "rules", name), f"not a rule: {str(error).removeprefix(f'{name}: ')}{hint}"


def _policy_contradictions(name: str, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    flow = integration_map.flow(name)
    settings = flow.settings
    policy = settings.conflict_policy
    bindings = {flow.source_name: flow.source_binding, flow.target_name: flow.target_binding}
    for needed, word in ((Policy.LAST_WRITE, "changed_at"), (Policy.VERSION, "version")):
        without = [system for system, binding in bindings.items() if getattr(binding, word) is None]
        if policy is needed and without:
            yield (
                ("flows", name, "conflict_policy"),
                f"{policy} needs {word} in both systems, and {' and '.join(without)} has none under in:",
            )
    if policy is Policy.MERGE_FUNCTION and settings.merge_function is None:
        yield ("flows", name, "conflict_policy"), "set merge_function: module:function"
    if settings.merge_function is not None:
        if policy is not Policy.MERGE_FUNCTION:
            yield ("flows", name, "merge_function"), f"is not used: the conflict policy is {policy}"
        try:
            load_merge(settings.merge_function)
        except MergeError as error:
            yield ("flows", name, "merge_function"), str(error)


def _owner_loops(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """Flows that pass a field around a cycle without its owner: no system is the source of truth."""
    feeds: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for name, settings in integration_map.flows.items():
        data_type = integration_map.data_types.get(settings.data_type)
        if data_type is None:
            continue
        for field_name in settings.fields or data_type.fields:
            rule = data_type.fields.get(field_name)
            if rule is not None and (rule.owner or data_type.owner) not in {settings.from_, settings.to}:
                feeds.setdefault((settings.data_type, field_name), {}).setdefault(settings.to, {})[settings.from_] = (
                    name
                )
    for (data_type_name, field_name), graph in feeds.items():
        try:
            TopologicalSorter({system: set(sources) for system, sources in graph.items()}).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            flow = graph[circle[1]][circle[0]]
            data_type = integration_map.data_types[data_type_name]
            owner = data_type.fields[field_name].owner or data_type.owner
            yield (
                ("flows", flow, "from"),
                f"{field_name} goes round {' → '.join(circle)}, and its owner {owner} feeds none of them; "
                "let a flow bring it from there",
            )


def _flow_contradictions(
    name: str, flow: FlowSettings, integration_map: IntegrationMap, sections: Mapping[str, Any]
) -> Iterator[tuple[Path_, str]]:
    path: Path_ = ("flows", name)
    systems, data_types = sections.get("systems", {}), sections.get("data_types", {})
    if flow.data_type not in data_types:
        yield (
            (*path, "data_type"),
            f"unknown data type {flow.data_type!r}" + did_you_mean(flow.data_type, data_types),
        )
    for word, system in (("from", flow.from_), ("to", flow.to)):
        if system not in systems:
            yield (*path, word), f"unknown system {system!r}" + did_you_mean(system, systems)
    yield from _alert_contradictions(path, flow)
    if flow.from_ == flow.to:
        yield (*path, "to"), "from and to must be different systems"
    data_type = integration_map.data_types.get(flow.data_type)
    if data_type is None:
        return
    for word, system in (("from", flow.from_), ("to", flow.to)):
        if system in systems and system not in data_type.in_:
            yield (*path, word), f"{flow.data_type} has no entry for {system} under in:"
    for index, field_name in enumerate(flow.fields):
        if field_name not in data_type.fields:
            yield (
                (*path, "fields", index),
                f"unknown field {field_name!r}" + did_you_mean(field_name, data_type.fields),
            )
    owners = {data_type.fields[each].owner or data_type.owner for each in flow.fields if each in data_type.fields}
    if flow.from_ in systems and flow.from_ not in (owners or {data_type.owner}):
        yield (
            (*path, "from"),
            f"{flow.from_} does not own {flow.data_type}: its owner is "
            f"{', '.join(sorted(owners or {data_type.owner}))}; a flow starts at the source of truth",
        )
    bound = (flow.data_type, flow.from_) in integration_map.bindings and (
        (flow.data_type, flow.to) in integration_map.bindings
    )
    if bound and flow.from_ in integration_map.systems and flow.to in integration_map.systems:
        yield from _floor_contradictions(name, integration_map)
        yield from _policy_contradictions(name, integration_map)
        if finds_nothing(integration_map.flow(name)):
            yield (
                path,
                f"no record would ever be found: neither {flow.from_} nor {flow.to} lists {flow.data_type} records, "
                f"and {flow.from_} does not report changes; add list: to one of them, or changed: with changed_at "
                f"to {flow.from_}",
            )


def _floor_contradictions(name: str, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    flow = integration_map.flow(name)
    where: Path_ = ("flows", name, "window" if flow.settings.window_s is not None else "data_type")
    if not flow.field_names:
        yield ("flows", name), "no field is left to compare in both systems"
    if flow.window_s and not SHORTEST_WINDOW_S <= flow.window_s <= LONGEST_WINDOW_S:
        yield where, f"a window of {format_duration(flow.window_s)}; windows are from 1 s to 7 days, or none"
    for each in flow.field_names:
        source = flow.data_type.fields[each].currency_field
        if source in flow.data_type.fields and source not in flow.field_names:
            yield (
                ("flows", name, "fields") if flow.settings.fields else ("flows", name),
                f"{each} takes its currency from {source}, which this flow does not compare: "
                "both systems must carry it, with compare: true, and fields: must name it",
            )
    value = flow.settings.sampling.value
    if value is not None and value.field not in flow.field_names:
        yield (
            ("flows", name, "sampling"),
            f"unknown field {value.field!r}{did_you_mean(value.field, flow.field_names)}",
        )
    elif value is not None and (type_ := flow.data_type.fields[value.field].type) not in NUMBERS:
        yield (
            ("flows", name, "sampling"),
            f"{value.field} is of type {type_} and has no worth; name a field of type {', '.join(NUMBERS)}",
        )
    floor_s = max(flow.source.delay_floor_s, flow.target.stale_reads_s)
    if flow.window_s < floor_s:
        yield (
            where,
            f"the window of {format_duration(flow.window_s)} is below the {format_duration(floor_s)} for which "
            f"{flow.source_name} or {flow.target_name} may legitimately return stale data (delay_floor)",
        )
    if flow.window_s and flow.every_s > flow.window_s:
        yield (
            ("flows", name, "every") if flow.settings.every_s else where,
            f"probing every {format_duration(flow.every_s)} cannot judge a window of "
            f"{format_duration(flow.window_s)}; probe at least once a window",
        )


def _is_zone(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
