"""The integration map as a document: tables in Markdown, and a Mermaid diagram. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor import escaping
from auditor.escaping import document
from auditor.map.consumers import told
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from probes.durations import format_duration
from probes.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRow:
    """A flow's row in the document; one setting of the map each, in its order."""

    flow: str
    data_type: str
    source: str
    target: str
    direction: str
    pattern: str
    frequency: str
    trigger: str
    transformation: str
    fields: str
    window: str
    sla: str
    conflict_policy: str
    idempotency_key: str
    side_effects: str
    retry: str
    queues: str
    team: str
    consumers: str
    description: str


def rows_of(integration_map: IntegrationMap) -> list[FlowRow]:
    """Every flow as one row of a table."""
    return [_row(integration_map.flow(name)) for name in integration_map.flows]


def _row(flow: Flow) -> FlowRow:
    settings = flow.settings
    readers = [told(each) for each in flow.data_type.consumers if each.reads == flow.target_name]
    kept = [f"{settings.sla.within_window:.3%} within the window".replace(".000", "")]
    kept += [
        f"{share:.3%} within {format_duration(span_s)}".replace(".000", "")
        for span_s, share in settings.sla.within.items()
    ]
    kept.append(f"at most {settings.sla.dead_letters} dead letters")
    for word, limit_s in (("oldest letter", settings.sla.oldest_letter_s), ("backlog", settings.sla.backlog_age_s)):
        if limit_s is not None:
            kept.append(f"{word} under {format_duration(limit_s)}")
    if settings.sla.backlog_ceiling is not None:
        kept.append(f"at most {counted(settings.sla.backlog_ceiling, 'message')} waiting")
    roles = [f"{name} ({queue.get('role', 'dead')})" for name, queue in settings.queues.items()]
    return FlowRow(
        flow=flow.name,
        data_type=settings.data_type,
        source=flow.source_name,
        target=flow.target_name,
        direction=settings.direction,
        pattern=settings.pattern,
        frequency=settings.frequency,
        trigger=settings.trigger,
        transformation=settings.transformation,
        fields=", ".join(flow.field_names),
        window=format_duration(flow.window_s) if flow.window_s else "none",
        sla=", ".join(kept) if "sla" in settings.model_fields_set else "",
        conflict_policy=str(settings.conflict_policy),
        idempotency_key=settings.idempotency_key or "",
        side_effects=", ".join(settings.side_effects),
        retry=settings.retry,
        queues=", ".join(roles),
        team=settings.team,
        consumers=", ".join(readers),
        description=settings.description,
    )


def part_of(integration_map: IntegrationMap, system: str) -> str:
    """A system's role in a few words."""
    if owned := owned_by(integration_map)[system]:
        return f"owns {', '.join(owned)}"
    read = {name for flow in integration_map.flows.values() for name in (flow.from_, flow.to)}
    read |= {name for data_type in integration_map.data_types.values() for name in data_type.in_}
    if system in read:
        return "holds copies"
    if system in integration_map.crosswalk_systems:
        return "pairs keys"
    return "queues" if system in integration_map.queue_systems else "used by no flow"


def markdown(integration_map: IntegrationMap) -> str:
    """The whole map for people to read: diagram, ownership, flows, systems."""
    return "\n".join(_markdown(integration_map)) + "\n"


def _markdown(integration_map: IntegrationMap) -> Iterator[str]:
    yield "# Integration map"
    yield ""
    yield "```mermaid"
    yield mermaid(integration_map).rstrip()
    yield "```"
    yield ""
    yield "## Data types"
    for name, data_type in integration_map.data_types.items():
        window = format_duration(data_type.window_s) if data_type.window_s else "none"
        yield ""
        yield f"### {document(name)}"
        yield ""
        if data_type.description:
            yield from (document(data_type.description), "")
        yield f"Source of truth: **{document(data_type.owner)}**. Consistency window: **{window}**. " + (
            f"Also written by: {document(', '.join(data_type.writers))}."
            if data_type.writers
            else "Written by its owner alone."
        )
        yield ""
        systems = list(data_type.in_)
        yield from _table(
            ["field", "type", "owner", "also written by", *systems, "description"],
            [
                [
                    field,
                    rule.type,
                    rule.owner or data_type.owner,
                    ", ".join(rule.writers),
                    *(_held(integration_map, name, system, field) for system in systems),
                    rule.description,
                ]
                for field, rule in data_type.fields.items()
            ],
        )
        for system in systems:
            crosswalk = integration_map.bindings[name, system].crosswalk
            if crosswalk is not None:
                held = f"{crosswalk.collection} in {crosswalk.system} ({', '.join(crosswalk.key_fields)})"
                yield ""
                yield document(f"The keys of {system} are {crosswalk.own_key} of {held}.")
        if data_type.rules:
            yield ""
            yield from _table(["rule", "every record keeps to"], [[*each] for each in data_type.rules.items()])
        if data_type.consumers:
            yield ""
            yield from _table(
                ["consumer", "role", "acts on the copy in"],
                [[each.name, each.role, each.reads] for each in data_type.consumers],
            )
    yield ""
    yield "## Flows"
    for row in rows_of(integration_map):
        yield ""
        yield f"### {document(row.flow)}"
        yield ""
        words = {name.replace("_", " "): getattr(row, name) for name in FlowRow.__slots__ if name != "flow"}
        yield from _table(["", row.flow], [[word, text] for word, text in words.items() if text])
    yield ""
    yield "## Systems"
    yield ""
    yield from _table(
        ["system", "kind", "zone", "may return stale data for up to", "description"],
        [
            [
                name,
                system.kind,
                system.zone or "",
                format_duration(system.delay_floor_s) if system.delay_floor_s else "",
                system.description,
            ]
            for name, system in integration_map.systems.items()
        ],
    )


def _held(integration_map: IntegrationMap, data_type: str, system: str, field: str) -> str:
    binding = integration_map.bindings[data_type, system]
    if field in binding.absent:
        return "–"
    computed = binding.computed.get(field)
    return f"{binding.collection}.{binding.fields.get(field, field)}" if computed is None else f"= {computed.value}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(document, cells)) + " |"

    yield line(head)
    yield "|" + "---|" * len(head)
    yield from (line(row) for row in rows)


def mermaid(integration_map: IntegrationMap) -> str:
    """A Mermaid flowchart: systems, their flows, and who reads what."""
    lines = ["flowchart LR"]
    owned = owned_by(integration_map)
    number = {name: f"s{index}" for index, name in enumerate(integration_map.systems)}
    for name, node in number.items():
        owns = f"<br/>owns {escaping.mermaid(', '.join(owned[name]))}" if owned[name] else ""
        lines.append(f'    {node}["{escaping.mermaid(name)}{owns}"]')
    for name in integration_map.flows:
        flow = integration_map.flow(name)
        window = format_duration(flow.window_s) if flow.window_s else "no window"
        arrow = "<-->" if flow.settings.direction == "two-way" else "-->"
        label = f"{flow.settings.data_type}, {flow.settings.pattern}, {window}"
        lines.append(
            f'    {number[flow.source_name]} {arrow}|"{escaping.mermaid(label)}"| {number[flow.target_name]}'
        )
    for index, (reads, consumer, role) in enumerate(consumers_of(integration_map)):
        lines.append(f'    {number[reads]} -.-> c{index}(["{escaping.mermaid(consumer)}<br/>{role}"])')
    return "\n".join(lines) + "\n"


def owned_by(integration_map: IntegrationMap) -> dict[str, list[str]]:
    """By system, the data types and single fields it is the source of truth for."""
    owned: dict[str, list[str]] = defaultdict(list)
    for name, data_type in integration_map.data_types.items():
        owned[data_type.owner].append(name)
        for field, rule in data_type.fields.items():
            if rule.owner and rule.owner != data_type.owner:
                owned[rule.owner].append(f"{name}.{field}")
    return owned


def consumers_of(integration_map: IntegrationMap) -> list[tuple[str, str, str]]:
    """Who reads which system: system, consumer, role; each once."""
    readers = {
        (consumer.reads, consumer.name, consumer.role): None
        for data_type in integration_map.data_types.values()
        for consumer in data_type.consumers
    }
    return list(readers)
