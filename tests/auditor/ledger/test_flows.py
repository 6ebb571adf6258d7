"""Where a flow's audits stand."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer

from auditor.ledger import FailedRuns, FlowState, Ledger, Sweep, Swept, Watermark
from auditor.ledger import tables as t
from auditor.ledger.flow_state import SWEEP_COLUMNS, state_of, state_row
from checks.causes import Baseline
from tests.auditor.ledger.rows import NOW, change, fingerprint, save

SECOND = timedelta(seconds=1)
COLUMNS = {column.name for column in t.flow_state.c} - {"flow"}


def test_flow_state_comes_back_as_it_was(ledger: Ledger) -> None:
    assert ledger.flows.state("f") == FlowState()
    state = FlowState(
        watermark=Watermark(at=NOW), sweep=Sweep(owner_after="17"), swept=Swept(count=3), audited_at=NOW
    )
    with ledger.write() as transaction:
        ledger.flows.save_state(transaction, "f", state)
        ledger.flows.save_state(transaction, "f", replace(state, swept=Swept(count=4)))
    assert ledger.flows.state("f") == replace(state, swept=Swept(count=4))


def test_a_new_series_forgets_what_cannot_be_compared_any_more(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        ledger.records.save_baselines(
            transaction, "f", {1: Baseline(owner=fingerprint(1), target=fingerprint(1))}, [], NOW
        )
        ledger.flows.save_state(
            transaction, "f", FlowState(swept=Swept(count=4), sweep=Sweep(owner_after="3"), series="old")
        )
    save(ledger, changes=[change(2)])
    ledger.flows.begin_series("f", "old", NOW)
    assert set(ledger.records.histories("f", [1, 2])[0]) == {1, 2}
    ledger.flows.begin_series("f", "new", NOW)
    assert ledger.records.histories("f", [1, 2]) == ({}, set())
    assert ledger.flows.state("f") == FlowState(swept=Swept(count=4), series="new")
    rows, _ = ledger.exports.snapshot({"changes": 0}, files_since=0)
    assert "undecided" in rows["changes"][0]


def test_failed_audits_count_since_the_last_complete_one(ledger: Ledger) -> None:
    def run(flow: str, after_s: float, reason: str | None = None, system: str | None = "shop") -> dict[str, Any]:
        at = NOW + timedelta(seconds=after_s)
        none = {
            column.name: 0 for column in t.probe_runs.c if isinstance(column.type, Integer) and column.name != "id"
        }
        return {
            **none,
            "flow": flow,
            "started_at": at,
            "finished_at": at + SECOND,
            "reason": reason,
            "system": system,
        }

    runs = [
        run("healed", 0, "timeout"),
        run("healed", 10, system=None),
        run("fails", 0, "refused"),
        run("fails", 10, system=None),
        run("fails", 20, "timeout"),
        run("fails", 25, "too much", system=None),
        run("fails", 30, "refused", system="crm"),
        run("never", 5, "timeout"),
    ]
    with ledger.write() as transaction:
        for each in runs:
            ledger.flows.save_run(transaction, {name: value for name, value in each.items() if name != "rev"})
        for flow in ("healed", "fails"):
            ledger.flows.save_state(transaction, flow, FlowState(audited_at=NOW + 11 * SECOND))
    fails = FailedRuns(system="crm", reason="refused", since_at=NOW + 20 * SECOND, last_at=NOW + 31 * SECOND)
    never = FailedRuns(system="shop", reason="timeout", since_at=NOW + 5 * SECOND, last_at=NOW + 6 * SECOND)
    assert ledger.flows.failed_runs() == {"fails": fails, "never": never}
    assert ledger.flows.failed_runs("never") == {"never": never}
    assert ledger.flows.failed_runs("healed") == {}


def test_every_column_is_an_attribute_and_every_attribute_a_column() -> None:
    assert state_row(FlowState()).keys() == COLUMNS
    distinct = {name: at for at, name in enumerate(sorted(COLUMNS))}
    assert state_row(state_of(distinct)) == distinct


def test_the_columns_of_a_sweep_are_those_of_its_attributes() -> None:
    assert SWEEP_COLUMNS.keys() == {each.name for each in fields(Sweep)}
    assert set(SWEEP_COLUMNS.values()) <= COLUMNS
