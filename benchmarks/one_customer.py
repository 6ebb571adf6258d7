"""One customer in six systems: every injected fault found, nothing else, each by its cause, and for how many calls.

Salesforce owns name, e-mail, phone, status and the day of signing, Stripe plan and balance, HubSpot the consent. They
hold the same customers as MongoDB, MariaDB and PostgreSQL, and nine flows carry what each owner changes
(`benchmarks.customer_systems`). `auditor once` reads everything, `auditor run` watches while sixteen kinds of fault
are injected among normal changes (`benchmarks.customer_faults`), and `auditor once` reads everything again. What the
ledger holds then is compared, flow by flow and field by field, with the list of what was injected.

Calls are counted by the systems themselves, from the first to the last request of the auditor, whole sweeps included.
They are compared with two readers that learn of a difference as soon as the auditor does, by reading every record of
every system once in each interval of the flows, for as long as the auditor ran: one reads each record by its key, as
a verdict has to, in the largest batches there are; the other takes the largest pages of each list. What one such
reading costs is measured, too. The first is what the goal is about. The second is given beside it, since it is much
cheaper where one page holds thousands of records.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.ledger import Ledger
from auditor.map.loader import load_map
from auditor.systems.reader import open_readers
from auditor.workspace import Workspace
from benchmarks.customer_faults import FAULTS, Expected, Integration
from benchmarks.customer_systems import AUDITS_IN_A_WINDOW, FLOWS, Systems, systems, write_map
from benchmarks.report import arguments, emit, say, wait_until

LONGEST_S = 900.0
SAMPLED = 500
"""Records that are read by key, at least, to see what all of them cost."""

PAGE = 2_000
"""The largest page that is asked for; systems have smaller ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done.

    Attributes:
        seconds: in which all changes are made.
        sample: records of a flow's sample, and of its panel.
        window_s: the shortest window of a flow.
    """

    records: int
    faults: int
    normal: int
    seconds: float
    sample: int
    window_s: float

    @property
    def every_s(self) -> float:
        """Seconds between two audits of the flows with the shortest window."""
        return self.window_s / AUDITS_IN_A_WINDOW

    @property
    def settles_s(self) -> float:
        """What is still suspected after the last fault is certain, or gone, within this time."""
        return 4 * self.window_s


QUICK = Size(records=1_000, faults=100, normal=100, seconds=10.0, sample=4, window_s=10.0)
FULL = Size(records=10_000, faults=1_000, normal=2_000, seconds=360.0, sample=20, window_s=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was sent to the systems, and what it compares with.

    Attributes:
        calls: of the auditor, by system.
        by_key: of one reading of every record by its key.
        by_list: of one reading of every page.
        intervals: how many such readings there would have been.
    """

    calls: Mapping[str, int]
    by_key: Mapping[str, int]
    by_list: Mapping[str, int]
    intervals: int


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    size = QUICK if asked.quick else FULL
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, systems() as held:
        place = Path(folder)
        say(f"filling six systems with {size.records} records")
        integration = Integration(held, random.Random(asked.seed), size.records, size.window_s)
        map_file, ledger = write_map(place, size.sample, size.window_s), Workspace.at(place / "var").ledger()
        before, started = held.calls(), time.monotonic()
        _audit(held, place, map_file, ledger, integration, size)
        lasted_s = time.monotonic() - started
        calls = {name: count - before[name] for name, count in held.calls().items()}
        refused = {name: system.refused for name, system in held.by_name.items()}
        say(f"{lasted_s:.0f} s; calls {calls}; now the readers that it is compared with")
        by_key, by_list = _readers(held, map_file, integration.keys)
        spent = Spent(calls=calls, by_key=by_key, by_list=by_list, intervals=math.ceil(lasted_s / size.every_s))
        good = _score(ledger, integration, quick=asked.quick)
        good &= _score_calls(spent, refused, quick=asked.quick)
        ledger.close()
    say(f"{time.monotonic() - begun:.0f} s")
    return 0 if good else 1


# -- the auditor


def _audit(held: Systems, place: Path, map_file: Path, ledger: Ledger, integration: Integration, size: Size) -> None:
    """Audit before, during and after what happens."""
    environment = {**os.environ, **held.environment}
    arguments_ = ["--map", str(map_file), "--data", str(place / "var")]
    auditor = [sys.executable, "-m", "auditor"]
    say("auditor once: what is there")
    _once([*auditor, "once", *arguments_, "--wait", "0s"], environment)
    with (place / "log").open("wb") as log:
        daemon = subprocess.Popen([*auditor, "run", *arguments_], env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: _audited(ledger, time.time() - 60), LONGEST_S)
            say("auditor run: preparing older versions")
            older = integration.prepare(size.faults // len(FAULTS) + 1)
            flows = [name for name, flow in FLOWS.items() if flow.owner == "salesforce"]
            wait_until(lambda: _followed(ledger, older, flows), LONGEST_S)
            say("injecting")
            integration.run(size.faults, size.normal, size.seconds)
            say("waiting for what is undecided")
            wait_until(lambda: not _pending(ledger), size.settles_s)
        finally:
            daemon.terminate()
            daemon.wait(60)
    say((place / "log").read_text()[-2_000:])
    say("auditor once: what has become of it")
    _once([*auditor, "once", *arguments_, "--wait", f"{size.settles_s:g}s"], environment)


def _once(command: list[str], environment: Mapping[str, str]) -> None:
    """Audit once; exit codes 0, 1 and 3 say what was found, anything else that it failed."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    say(done.stdout + done.stderr)
    if done.returncode not in {0, 1, 3}:
        raise RuntimeError(f"auditor once ended with {done.returncode}")


def _audited(ledger: Ledger, since: float) -> bool:
    states = [ledger.flows.state(name) for name in FLOWS]
    return all(each.audited_at is not None and each.audited_at.timestamp() > since for each in states)


def _rows(ledger: Ledger, table: str) -> list[dict[str, Any]]:
    rows, _ = ledger.exports.snapshot({table: 0}, files_since=0)
    names = [name for name, _ in ledger.exports.columns(table)]
    return [dict(zip(names, row, strict=True)) for row in rows[table]]


def _followed(ledger: Ledger, keys: Collection[str], flows: Collection[str]) -> bool:
    """Whether the changes of these records have arrived, as far as the auditor has seen."""
    settled = {(each["flow"], each["key"]) for each in _rows(ledger, "changes") if each["settled_at"] is not None}
    return settled >= {(flow, key) for flow in flows for key in keys}


def _pending(ledger: Ledger) -> int:
    return sum(ledger.findings.pending_count(name) for name in FLOWS)


# -- the readers that it is compared with


def _readers(held: Systems, map_file: Path, keys: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """What it costs to read every record once: by key, and page by page."""
    integration_map = load_map(map_file, held.environment)
    readers = open_readers(integration_map)
    by_key, by_list = {}, {}
    try:
        for name, system in held.by_name.items():
            flow = integration_map.flow(next(each for each, of in FLOWS.items() if name in {of.owner, of.target}))
            spec = flow.source_spec if flow.source_name == name else flow.target_spec
            reader = readers[name]
            batch, _ = reader.costs(spec)
            sampled = keys[: batch * math.ceil(SAMPLED / batch)]
            reader.fetch(spec, sampled[:1])  # what is read once for good: tokens, descriptions
            before = system.calls()
            assert reader.fetch(spec, sampled).error is None
            each = (system.calls() - before) / math.ceil(len(sampled) / batch)
            by_key[name] = round(each * math.ceil(len(keys) / batch))
            before, after = system.calls(), None
            while True:
                page = reader.page(spec, after, PAGE)
                assert page.error is None, page.error
                if (after := page.next) is None:
                    break
            by_list[name] = system.calls() - before
    finally:
        for reader in readers.values():
            reader.close()
    return by_key, by_list


# -- the score


def _score(ledger: Ledger, integration: Integration, *, quick: bool) -> bool:
    truth = integration.truth
    opened = sorted((each for each in _rows(ledger, "divergences") if each["opened_at"]), key=lambda each: each["id"])
    called = {(str(each["flow"]), str(each["key"])): each for each in opened}
    unverified = {
        (str(each["flow"]), str(each["name"])): each["reason"]
        for each in _rows(ledger, "unverified")
        if each["cleared_at"] is None
    }
    for where, reason in list(unverified.items())[:3]:
        say(f"cannot verify {where}: {reason}")
    expected = {where: each for where, each in truth.items() if where not in unverified or where in called}
    found = {where: each for where, each in expected.items() if where in called}
    counted = {where for where in called if where in truth or where not in integration.overtaken}
    false = [where for where in counted if where not in truth]
    confusion = Counter(
        (each.kind, str(called[where]["cause"]) if where in called else "undetected")
        for where, each in expected.items()
    )
    _tell(opened, expected, called, false)
    _tell_undetected(ledger, {where: each for where, each in expected.items() if where not in called})
    right = [where for where, each in found.items() if called[where]["cause"] in each.causes]
    of_fields = {where: each for where, each in found.items() if each.field}
    by_field = [where for where, each in of_fields.items() if _fields(called[where]) == {each.field}]
    told: dict[str, Any] = {"quick": quick, "kinds": len(FAULTS), "faults": integration.injected.total()}
    matrix = {kind: {cause: n for (of, cause), n in sorted(confusion.items()) if of == kind} for kind in FAULTS}
    recall, precision = len(found) / max(1, len(expected)), 1 - len(false) / max(1, len(counted))
    good = emit("one_customer", "recall", recall, "ratio", goal=">= 1.0", n=len(expected), **told, confusion=matrix)
    good &= emit(
        "one_customer",
        "precision",
        precision,
        "ratio",
        goal=">= 1.0",
        n=len(counted),
        quick=quick,
        overtaken=len(integration.overtaken),
    )
    share = len(right) / max(1, len(found))
    good &= emit("one_customer", "right_cause", share, "ratio", goal=">= 0.99", n=len(found), quick=quick)
    share = len(by_field) / max(1, len(of_fields))
    good &= emit("one_customer", "right_field", share, "ratio", goal=">= 0.99", n=len(of_fields), quick=quick)
    emit("one_customer", "cannot_verify", len(unverified), "records", n=integration.injected.total(), quick=quick)
    return good


def _fields(divergence: Mapping[str, Any]) -> set[str]:
    """The fields that a divergence calls different."""
    return {each["field"] for each in json.loads(divergence["differences"])}


def _tell(
    opened: list[dict[str, Any]],
    expected: Mapping[tuple[str, str], Expected],
    called: Mapping[tuple[str, str], Mapping[str, Any]],
    false: list[tuple[str, str]],
) -> None:
    """Show examples of what is not as it should be."""
    shown: Counter[str] = Counter()
    for where, each in expected.items():
        divergence = called.get(where, {})
        wrong = divergence.get("cause") not in each.causes
        wrong |= bool(each.field) and bool(divergence) and _fields(divergence) != {each.field}
        if wrong and shown[each.kind] < 2:
            shown[each.kind] += 1
            say(f"{where}: {each}: {[each for each in opened if (each['flow'], each['key']) == where]}")
    for where in false[:5]:
        say(f"false: {[each for each in opened if (each['flow'], each['key']) == where]}")


def _tell_undetected(ledger: Ledger, undetected: Mapping[tuple[str, str], Expected]) -> None:
    """Show how the auditor followed what it did not detect, and when it audited those flows."""
    if not undetected:
        return
    changes, runs = _rows(ledger, "changes"), _rows(ledger, "probe_runs")
    for where, each in undetected.items():
        say(f"undetected {where}: {each}: {[row for row in changes if (row['flow'], row['key']) == where]}")
    for name in {flow for flow, _ in undetected}:
        told = ("started_at", "finished_at", "read", "deadlines", "shed", "changes", "message")
        say(f"audits of {name}: {[[str(row[each]) for each in told] for row in runs if row['flow'] == name]}")


def _score_calls(spent: Spent, refused: Mapping[str, int], *, quick: bool) -> bool:
    used, intervals = sum(spent.calls.values()), spent.intervals
    per_system = {
        name: {
            "calls": calls,
            "one_reading_by_key": spent.by_key[name],
            "one_reading_of_lists": spent.by_list[name],
            "share_of_keys": round(calls / (spent.by_key[name] * intervals), 4),
            "share_of_lists": round(calls / (spent.by_list[name] * intervals), 4),
        }
        for name, calls in spent.calls.items()
    }
    by_key, by_list = sum(spent.by_key.values()) * intervals, sum(spent.by_list.values()) * intervals
    told: dict[str, Any] = {"quick": quick, "n": used, "intervals": intervals}
    share, pages = used / by_key, used / by_list
    # Two whole sweeps in two minutes are more than one reader's in each interval can make up for.
    goal = "" if quick else "<= 0.05"
    good = emit("one_customer", "calls_of_reader_by_key", share, "ratio", goal=goal, **told, systems=per_system)
    emit("one_customer", "calls_of_reader_by_page", pages, "ratio", **told)
    return good & emit(
        "one_customer", "refused_by_limits", sum(refused.values()), "calls", goal="<= 0", n=used, quick=quick
    )


if __name__ == "__main__":
    sys.exit(main())
