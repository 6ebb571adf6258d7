"""What a map would do before it is in force: its mistakes, the doctor's report, and a first reading.

Nothing is written: no ledger, no file, no system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import check_text
from auditor.map.problems import MapError, Problem
from auditor.map.secrets import scrubber_of
from auditor.systems.doctor import SystemReport, examine
from auditor.systems.live_record import RecordView, record_of, spec_of
from auditor.systems.reader import SystemReader, open_readers
from checks.sides import read_key
from probes.contract import KEY, ProbeError
from probes.secrets import Scrubber
from probes.wording import counted

RECORDS = 20
"""Records of each data type in a first reading."""

TODO = "TODO"
"""Marks in a proposal what a person must decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A map's text, checked.

    Attributes:
        loaded: the map, None if it has mistakes.
        remarks: settings without effect, and blind spots.
        open: numbers of the lines that are marked as not decided.
    """

    text: str
    loaded: IntegrationMap | None
    problems: Sequence[Problem]
    remarks: Sequence[Problem]
    open: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstReading:
    """The first records of a data type, read once from every system.

    Attributes:
        agree, differ, missing, cannot_verify: how many; missing are those that the owner alone holds.
        fields: those that differ, with how many records.
        unverified: why records could not be verified, with how many.
        error: why nothing could be read, "" if something was.
    """

    data_type: str
    agree: int = 0
    differ: int = 0
    missing: int = 0
    cannot_verify: int = 0
    fields: Mapping[str, int] = field(default_factory=dict)
    unverified: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether something could be verified, if there is anything."""
        return not self.error and not (self.cannot_verify and self.cannot_verify == self.records)

    @property
    def records(self) -> int:
        """How many records were read."""
        return self.agree + self.differ + self.missing + self.cannot_verify

    def as_row(self) -> dict[str, Any]:
        """The reading as one row of a table."""
        remarks = [f"{name} differs in {counted(n, 'record')}" for name, n in self.fields.items()]
        remarks += [f"{why} ({counted(n, 'record')})" for why, n in self.unverified.items()]
        return {
            "data_type": self.data_type,
            "records": self.records,
            "agree": self.agree,
            "differ": self.differ,
            "missing": self.missing,
            "cannot_verify": self.cannot_verify,
            "remark": self.error or ", ".join(remarks),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A dry run: what the doctor found, and what a first reading showed."""

    reports: Sequence[SystemReport]
    readings: Sequence[FirstReading]

    @property
    def ok(self) -> bool:
        """Whether every system can be audited, and something of every data type verified."""
        return all(each.ok for each in self.reports) and all(each.ok for each in self.readings)


def check(text: str, name: str, environment: Mapping[str, str], scrub: Callable[[str], str]) -> Checked:
    """Check a map's text.

    Args:
        name: of the file that it will be in.
        scrub: removes the secrets of the environment from messages.
    """
    lines = [number for number, line in enumerate(text.splitlines(), 1) if TODO in line]
    try:
        loaded, remarks = check_text(text, name, environment)
    except MapError as error:
        problems = [_scrubbed(each, scrub) for each in error.problems]
        return Checked(text=text, loaded=None, problems=problems, remarks=(), open=lines)
    return Checked(
        text=text, loaded=loaded, problems=(), remarks=[_scrubbed(each, scrub) for each in remarks], open=lines
    )


def _scrubbed(problem: Problem, scrub: Callable[[str], str]) -> Problem:
    return Problem(
        file=problem.file,
        line=problem.line,
        column=problem.column,
        path=scrub(problem.path),
        message=scrub(problem.message),
    )


def dry_run(integration_map: IntegrationMap, *, tell: Callable[[str], None]) -> Trial:
    """Connect to everything, and read the first records; a system's failure never raises.

    Args:
        tell: called with progress messages.
    """
    tell("connecting, and listening to the clocks")
    reports = examine(integration_map, seed=None, steps={})
    silent = {each.system for each in reports if not each.ok and not each.answers}
    scrub = scrubber_of(integration_map)
    try:
        readers = open_readers(integration_map)
    except ProbeError as error:
        readings = [_failed(data_type, scrub(str(error))) for data_type in integration_map.data_types]
        return Trial(reports=reports, readings=readings)
    readings = []
    try:
        for data_type, described in integration_map.data_types.items():
            tell(f"reading the first records of {data_type}")
            unread = sorted(silent & {*described.in_})
            if unread:
                readings.append(_failed(data_type, f"{', '.join(unread)} cannot be read"))
                continue
            readings.append(_first_reading(integration_map, readers, data_type, scrub))
    finally:
        for reader in readers.values():
            reader.close()
    return Trial(reports=reports, readings=readings)


def _failed(data_type: str, why: str) -> FirstReading:
    return FirstReading(data_type=data_type, error=why)


def _first_reading(
    integration_map: IntegrationMap, readers: Mapping[str, SystemReader], data_type: str, scrub: Scrubber
) -> FirstReading:
    described = integration_map.data_types[data_type]
    spec = spec_of(integration_map, data_type, described.owner)
    if not spec.lists:
        return _failed(data_type, f"{described.owner} does not list its records")
    parse = described.key_parser(described.owner)
    verdicts: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    unverified: Counter[str] = Counter()
    try:
        reading = readers[described.owner].page(spec, None, RECORDS)
        if reading.error is not None:
            return _failed(data_type, scrub(str(reading.error)))
        keys = [read_key(parse, row[KEY]) for row in reading.rows]
        for key in dict.fromkeys(keys):
            if key is None:
                unverified[f"a key of {described.owner} cannot be read"] += keys.count(None)
                continue
            view = record_of(integration_map, readers, data_type, key)
            absent = view.verdict == "differs" and not all(copy.found for copy in view.copies)
            verdicts["missing" if absent else view.verdict] += 1
            fields.update(view.differing)
            if view.verdict in {"cannot verify", "not found"}:
                unverified[scrub(_why(view))] += 1
    except ProbeError as error:
        return _failed(data_type, scrub(str(error)))
    return FirstReading(
        data_type=data_type,
        agree=verdicts["agrees"],
        differ=verdicts["differs"],
        missing=verdicts["missing"],
        cannot_verify=verdicts["cannot verify"] + verdicts["not found"] + keys.count(None),
        fields=fields,
        unverified=unverified,
    )


def _why(view: RecordView) -> str:
    """Why a record cannot be verified, without its values: records with the same reason are counted together."""
    for copy in view.copies:
        if copy.error:
            return f"{copy.system}: {copy.error}"
        if copy.found > 1:
            return f"{copy.system} holds several rows with one key"
    if view.verdict == "not found":
        return "it was gone when it was read"
    unread = {
        f"{name} of {copy.system}"
        for copy in view.copies
        for name, cell in copy.cells.items()
        if cell.state == "unreadable"
    }
    return f"{', '.join(sorted(unread))} cannot be read"
