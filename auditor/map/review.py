"""The review of an integration map: what its design will cost, and whether each flow is needed at all. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from auditor.map.crontab import longest_gap_s
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from probes.durations import format_duration, parse_duration

EVENTS = frozenset({"event-driven", "real-time"})
"""Patterns that move one message at a time."""

BATCH_WINDOW_S = 60.0
"""A batch without a declared schedule is not expected to keep a shorter window."""

PROMPT_S = 300.0
"""A window shorter than this is more than a report needs."""

MESH_SYSTEMS = 4
"""From this many systems of one data type on, flows between nearly all of them are a mesh."""


class Severity(StrEnum):
    """How much a remark matters."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    def reaches(self, other: Severity) -> bool:
        """Whether this is at least as severe."""
        order = list(Severity)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One remark about the design.

    Attributes:
        rule: its short name, stable for programs.
        subject: the flow, data type or field it is about.
        reason: why it matters.
        advice: what to do.
    """

    severity: Severity
    rule: str
    subject: str
    reason: str
    advice: str

    def as_row(self) -> dict[str, str]:
        """The remark as one row of a table."""
        return {**asdict(self), "severity": self.severity.value}


def review(integration_map: IntegrationMap) -> list[Remark]:
    """Read a valid map with a critic's eye; most severe first."""
    flows = [integration_map.flow(name) for name in integration_map.flows]
    remarks = [remark for flow in flows for remark in _of_flow(flow)]
    remarks += [remark for name in integration_map.data_types for remark in _of_data_type(name, integration_map)]
    remarks += _cycles(flows)
    order = list(Severity)
    return sorted(remarks, key=lambda each: (-order.index(each.severity), each.subject, each.rule))


def _of_flow(flow: Flow) -> Iterator[Remark]:
    yield from _ownership(flow)
    yield from _windows(flow)
    yield from _failure(flow)
    yield from _purpose(flow)
    yield from _older_words(flow)


def _ownership(flow: Flow) -> Iterator[Remark]:
    settings = flow.settings
    if not flow.two_writers:
        return
    fields = ", ".join(flow.two_writers)
    if settings.conflict_policy == "avoidance":
        yield Remark(
            severity=Severity.HIGH,
            rule="avoidance-broken",
            subject=flow.name,
            reason=f"conflicts are to be avoided, but {flow.target_name} may write what it receives: {fields}",
            advice="take the second writer away, or choose a policy that decides between the two",
        )
    elif "conflict_policy" not in settings.model_fields_set:
        yield Remark(
            severity=Severity.HIGH,
            rule="no-conflict-policy",
            subject=flow.name,
            reason=f"{flow.source_name} and {flow.target_name} may both write {fields}, "
            "and nothing says which one wins",
            advice="set conflict_policy:, or keep a single writer",
        )


def _windows(flow: Flow) -> Iterator[Remark]:
    settings = flow.settings
    every_s = rhythm_s(settings.frequency)
    if settings.pattern == "batch" and flow.window_s < (every_s or BATCH_WINDOW_S):
        runs = f"it runs {settings.frequency}" if every_s else "its schedule is not declared"
        yield Remark(
            severity=Severity.HIGH,
            rule="window-below-batch",
            subject=flow.name,
            reason=f"a batch cannot keep a window of {format_duration(flow.window_s)}: {runs}",
            advice="widen the window to two runs, or send events",
        )
    money = [name for name in flow.field_names if flow.data_type.fields[name].type == "money"]
    if money and flow.window_s > 0:
        yield Remark(
            severity=Severity.MEDIUM,
            rule="money-eventually",
            subject=flow.name,
            reason=f"{', '.join(money)} may differ for {format_duration(flow.window_s)}: "
            "consumers of the copy act on a wrong amount",
            advice="read amounts from the owner when they count, or set window: none and sync within the transaction",
        )


def rhythm_s(frequency: str) -> float | None:
    """The longest time between two runs in seconds; None if the schedule cannot be parsed.

    Args:
        frequency: `every 15m`, `1h`, or the five fields of cron.
    """
    try:
        return parse_duration(frequency.removeprefix("every").strip()) or None
    except ValueError:
        return longest_gap_s(frequency)


def _failure(flow: Flow) -> Iterator[Remark]:
    settings = flow.settings
    if settings.side_effects:
        effects = ", ".join(settings.side_effects)
        key = settings.idempotency_key
        yield Remark(
            severity=Severity.MEDIUM if key else Severity.HIGH,
            rule="replay-unsafe",
            subject=flow.name,
            reason=f"replaying a message repeats: {effects}" + (f", unless {key} is checked" if key else ""),
            advice="make the receiver check the key before it acts" if key else "set idempotency_key:, and check it",
        )
    if settings.pattern not in EVENTS:
        return
    roles = {queue.get("role", "dead") for queue in settings.queues.values() if isinstance(queue, Mapping)}
    if "dead" not in roles:
        yield Remark(
            severity=Severity.HIGH if settings.pattern == "event-driven" else Severity.MEDIUM,
            rule="no-dead-letters",
            subject=flow.name,
            reason="a message that fails for good is gone, and no one finds out",
            advice="keep dead letters, and name the queue under queues:",
        )
    if not settings.idempotency_key and not settings.side_effects:
        yield Remark(
            severity=Severity.MEDIUM,
            rule="no-idempotency-key",
            subject=flow.name,
            reason="messages will eventually be delivered twice, and there is no key to recognise a duplicate",
            advice="set idempotency_key:",
        )


def _purpose(flow: Flow) -> Iterator[Remark]:
    settings = flow.settings
    for word, missing, reason in (
        ("team", not settings.team, "no one is named to contact when it breaks"),
        ("sla", "sla" not in settings.model_fields_set, "no objective is set"),
    ):
        if missing:
            yield Remark(
                severity=Severity.LOW, rule=f"no-{word}", subject=flow.name, reason=reason, advice=f"say {word}:"
            )
    readers = [each for each in flow.data_type.consumers if each.reads == flow.target_name]
    if not readers:
        named = bool(flow.data_type.consumers)
        yield Remark(
            severity=Severity.MEDIUM if named else Severity.LOW,
            rule="nobody-reads",
            subject=flow.name,
            reason=f"no consumer is declared for the copy in {flow.target_name}: should these be synced at all?",
            advice="name who acts on it under consumers:, or remove the flow",
        )
    elif all(each.role == "report" for each in readers) and 0 < flow.window_s < PROMPT_S:
        yield Remark(
            severity=Severity.LOW,
            rule="prompt-for-reports",
            subject=flow.name,
            reason=f"only reports read the copy, and it is kept within {format_duration(flow.window_s)}",
            advice="a batch, or reconciling in the warehouse, costs less and breaks less",
        )


def _older_words(flow: Flow) -> Iterator[Remark]:
    """Settings that still work but have a better form."""
    audits = flow.settings.alert.clean_audits
    if audits is not None:
        lasts = format_duration(flow.clear_after_s)
        yield Remark(
            severity=Severity.LOW,
            rule="clean-audits",
            subject=flow.name,
            reason=f"alert.clean_audits: {audits} closes an incident after {lasts}, which moves with the interval",
            advice=f"write alert.clear_after: {lasts} instead",
        )


def _of_data_type(name: str, integration_map: IntegrationMap) -> Iterator[Remark]:
    """A mesh: flows between nearly all systems of one data type."""
    pairs = {frozenset((flow.from_, flow.to)) for flow in integration_map.flows.values() if flow.data_type == name}
    systems = {system for pair in pairs for system in pair}
    most = len(systems) * (len(systems) - 1) // 2
    if len(systems) >= MESH_SYSTEMS and len(pairs) > most // 2:
        yield Remark(
            severity=Severity.MEDIUM,
            rule="mesh",
            subject=name,
            reason=f"{len(pairs)} flows join {len(systems)} systems; each system more brings as many flows again",
            advice=f"let all copies come from {integration_map.data_types[name].owner}, or through one hub",
        )


def _cycles(flows: list[Flow]) -> Iterator[Remark]:
    """Flows that carry one field in a cycle: a change may come back to where it was made."""
    feeds: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for flow in flows:
        for field in flow.field_names:
            feeds[flow.settings.data_type, field][flow.target_name].add(flow.source_name)
    circles: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (data_type, field), graph in feeds.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circles[data_type, tuple(reversed(error.args[1]))].append(field)
    for (data_type, systems), fields in circles.items():
        yield Remark(
            severity=Severity.HIGH,
            rule="cycle",
            subject=data_type,
            reason=f"{', '.join(fields)} go round: {' → '.join(systems)}; "
            "a change can come back and overwrite a newer one",
            advice="give each field one owner, and let each flow carry only its owner's fields",
        )
