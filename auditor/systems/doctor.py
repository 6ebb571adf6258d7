"""The doctor: connects to every system of a map and reports what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from auditor.escaping import visible
from auditor.map.blind_spots import blind_spots
from auditor.map.integration_map import IntegrationMap
from auditor.systems.allowance import Allowance, open_allowances
from auditor.systems.live_record import spec_of
from auditor.systems.pool import Pool
from auditor.systems.reader import SystemReader
from checks.clocks import clock_text
from checks.fields import FieldRule, parser_for
from checks.instants import earliest
from checks.queue_figures import certain
from checks.sides import UNREADABLE
from checks.values import EPOCH, MICROSECOND
from probes import registry
from probes.contract import INSPECT_CALLS, MARK, MISSING, ProbeError, ReadSpec, Reason, UnprovedError
from probes.durations import measured
from probes.metering import UNMETERED
from probes.wording import counted

STAMPS_LOOKED_AT = 200
FUTURE = timedelta(hours=1)
"""How far ahead a stamp may be without a remark, because clocks differ."""

ANY_SEED = "0" * 32
"""Without an index, the cost of ranks does not depend on the seed."""


SIDE_BY_SIDE = 4
"""How many systems and queues are looked at at once; more would measure each other's work as latency."""

OF_ONE_COLLECTION = frozenset({Reason.QUERY, Reason.PERMISSION})
"""Reasons of a failure after which other collections of the system are still looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemReport:
    """What is known about one system.

    Attributes:
        problems: reasons why it cannot be audited.
        remarks: what will be slow or doubtful.
        unknown: what could not be determined but is needed to judge it, "" if nothing.
        answers: it answers, whatever is wrong with a collection in it.
    """

    system: str
    latency_s: float | None
    clock: str
    read_only: str
    problems: Sequence[str]
    remarks: Sequence[str]
    unknown: str = ""
    answers: bool = False

    @property
    def ok(self) -> bool:
        """Whether it can be audited."""
        return not self.problems and not self.unknown

    @property
    def state(self) -> str:
        """What is wrong with it, or that nothing is."""
        return "; ".join(self.problems) or self.unknown or "ok"

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "system": self.system,
            "state": self.state,
            "latency_ms": None if self.latency_s is None else round(self.latency_s * 1000, 1),
            "clock": self.clock,
            "read_only": self.read_only,
            "remarks": list(self.remarks),
        }

    def as_row(self) -> dict[str, Any]:
        """The report as one row of a table, for people."""
        return {
            "system": self.system,
            "state": self.state,
            "latency": measured(self.latency_s),
            "clock": self.clock,
            "read_only": self.read_only,
        }


def examine(
    integration_map: IntegrationMap,
    *,
    seed: str | None,
    steps: Mapping[str, datetime],
) -> list[SystemReport]:
    """Connect to everything the map names; a system's failure never raises.

    Several are looked at side by side, so that one that does not answer holds up no other.

    Args:
        seed: of the sample's ranks, None if there is no installation yet.
        steps: by system, when its clock was last found to have been set.
    """
    allowances = open_allowances(integration_map.systems)
    with closing(Pool(SIDE_BY_SIDE, "doctor")) as pool:
        looks = [
            pool.submit(partial(_system, integration_map, name, allowances[name], seed, steps.get(name)))
            for name in integration_map.systems
        ]
        looks += [
            pool.submit(partial(_queue, integration_map, *where, allowances)) for where in integration_map.queues
        ]
        return [each.result() for each in looks]


def _system(
    integration_map: IntegrationMap, name: str, allowance: Allowance, seed: str | None, stepped_at: datetime | None
) -> SystemReport:
    settings = integration_map.systems[name]
    try:
        reader = SystemReader(name, settings, registry.open_record_probe(settings), allowance)
    except ProbeError as error:
        return SystemReport(system=name, latency_s=None, clock="", read_only="", problems=[str(error)], remarks=[])
    with closing(reader):
        return _examine(integration_map, reader, seed, stepped_at)


def _examine(
    integration_map: IntegrationMap, reader: SystemReader, seed: str | None, stepped_at: datetime | None
) -> SystemReport:
    specs = [
        replace(spec_of(integration_map, data_type, reader.name), pairs=None)
        for data_type, system in integration_map.bindings
        if system == reader.name
    ]
    failures, remarks = _inspected(reader, specs, _pairs(integration_map, reader.name), seed)
    problems = list(dict.fromkeys(str(each) for each in failures))
    for name in integration_map.flows:
        remarks += [note for system, note in blind_spots(integration_map.flow(name)).items() if system == reader.name]
    if reader.allowance.forgets:
        remarks.append(
            "what this look sends counts towards calls_per_day within this process alone, and is kept in no ledger"
        )
    read_only = ""
    if not problems:
        try:
            first = specs[0] if specs else None
            read_only = reader.call(lambda: reader.probe.prove_read_only(first))
        except UnprovedError as error:
            read_only = "not proved"
            remarks.append(f"warning: {error.message} ({error.hint})")
        except ProbeError as error:
            problems.append(str(error))
    clock = "unknown"
    if not problems:
        bounds = reader.aim_clock()
        if bounds is not None:
            clock = clock_text(bounds)
            if stepped_at is not None:
                remarks.append(f"its clock was found to have been set at {stepped_at:%Y-%m-%d %H:%M:%S} UTC")
        elif reader.clock_failure is not None:
            remarks.append(f"its clock cannot be read: {reader.clock_failure.message}")
    return SystemReport(
        system=reader.name,
        latency_s=reader.health.latency_s,
        clock=clock,
        read_only=read_only,
        problems=problems,
        remarks=remarks,
        answers=all(each.reason in OF_ONE_COLLECTION for each in failures),
    )


def _inspected(
    reader: SystemReader, specs: Sequence[ReadSpec], pairs: Sequence[ReadSpec], seed: str | None
) -> tuple[list[ProbeError], list[str]]:
    """What is wrong with the collections of a system, and remarks on them; nothing more where it does not answer."""
    failures: list[ProbeError] = []
    remarks: list[str] = []
    for spec in (*specs, *pairs):
        try:
            remarks += reader.call(partial(reader.probe.inspect, spec), requests=INSPECT_CALLS)
            if spec not in pairs:
                remarks += _ranking(reader, spec, seed)
                remarks += _stamps(reader, spec)
        except ProbeError as error:
            failures.append(error)
            if error.reason not in OF_ONE_COLLECTION:
                break
    return failures, remarks


def _pairs(integration_map: IntegrationMap, system: str) -> list[ReadSpec]:
    """How the pairs of keys that a system holds are read, in both directions."""
    pairs = [spec_of(integration_map, *place).pairs for place in integration_map.bindings]
    return [
        spec
        for each in pairs
        if each is not None and each.system == system
        for spec in (each.by_key, each.by_own_key)
    ]


def _stamps(reader: SystemReader, spec: ReadSpec) -> list[str]:
    """Remarks on stamps of the first records that are not instants or lie in the future."""
    if spec.changed_at is None or not spec.lists or not spec.marks_records:
        return []
    reading = reader.page(replace(spec, fields=()), None, STAMPS_LOOKED_AT)
    rule = FieldRule(type="timestamp", unit={reader.name: spec.changed_at_unit} if spec.changed_at_unit else {})
    parse = parser_for(rule, reader.name, spec.zone or "UTC")
    latest_us = (datetime.now(UTC) + FUTURE - EPOCH) // MICROSECOND
    odd: dict[str, list[str]] = {}
    for row in reading.rows:
        text = "" if row[MARK] is None or row[MARK] is MISSING else str(row[MARK])
        try:
            at_us = earliest(parse(row[MARK])) if text else None
        except UNREADABLE:
            at_us = None
        if at_us is None:
            odd.setdefault("no instant", []).append(text)
        elif at_us > latest_us:
            odd.setdefault("in the future", []).append(text)
    first = counted(len(reading.rows), "record")
    return [
        f"{spec.collection}.{spec.changed_at} is {what} in {len(stamps)} of the first {first} "
        f"({_shape(max(stamps))}): only the sweep finds their changes"
        for what, stamps in odd.items()
    ]


def _shape(text: str) -> str:
    """A stamp's form without its value, in words: 9 for each digit, a for each letter."""
    shape = "".join("9" if each.isdigit() else "a" if each.isalpha() else each for each in text[:40])
    return (
        f"written like {visible(shape)}, where 9 stands for a digit and a for a letter" if shape else "NULL or empty"
    )


def _ranking(reader: SystemReader, spec: ReadSpec, seed: str | None) -> list[str]:
    """Remarks on why the sample cannot be taken by rank."""
    if reader.can_rank(spec, seed or ANY_SEED):
        return []
    index = reader.call(lambda: reader.probe.rank_index(spec, seed or ANY_SEED))
    if not index:
        return []  # nothing can be done about it
    remedy = index if seed else "see what `auditor doctor` says once the auditor has run"
    return [
        f"{spec.collection} is read in the order of its keys, so that estimates hold only once a sweep has reached "
        f"its end; for random samples at any time: {remedy}"
    ]


def _queue(
    integration_map: IntegrationMap, flow: str, queue: str, allowances: Mapping[str, Allowance]
) -> SystemReport:
    settings = integration_map.queues[flow, queue]
    problems, remarks, read_only, unknown = [], [], "", ""
    try:
        meter = allowances.get(getattr(settings, "system", ""), UNMETERED)
        with closing(registry.open_queue_probe(settings, integration_map.system_of(settings), meter)) as probe:
            reading = certain(probe.read(0))
            depth = reading.depth
            if depth is None:
                unknown = "depth unknown"
                remarks.append("; ".join(("how many messages wait is not known", *reading.notes)))
            if reading.missing:
                remarks.append(reading.missing)
            read_only = f"depth {'unknown' if depth is None else depth}; {probe.prove_read_only()}"
    except ProbeError as error:
        problems.append(str(error))
    except Exception as error:
        # A broker's response is data; the error text may quote it.
        problems.append(f"an unexpected answer ({type(error).__name__})")
    return SystemReport(
        system=f"queue {flow}/{queue}",
        latency_s=None,
        clock="",
        read_only=read_only,
        problems=problems,
        remarks=remarks,
        unknown=unknown,
    )
