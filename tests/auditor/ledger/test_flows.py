"""Where a flow's audits stand."""

from __future__ import annotations

from dataclasses import fields, replace

from auditor.ledger import FlowState, Ledger, Sweep, Swept, Watermark
from auditor.ledger import tables as t
from auditor.ledger.flow_state import SWEEP_COLUMNS, state_of, state_row
from checks.causes import Baseline
from tests.auditor.ledger.rows import NOW, change, fingerprint, save

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


def test_every_column_is_an_attribute_and_every_attribute_a_column() -> None:
    assert state_row(FlowState()).keys() == COLUMNS
    distinct = {name: at for at, name in enumerate(sorted(COLUMNS))}
    assert state_row(state_of(distinct)) == distinct


def test_the_columns_of_a_sweep_are_those_of_its_attributes() -> None:
    assert SWEEP_COLUMNS.keys() == {each.name for each in fields(Sweep)}
    assert set(SWEEP_COLUMNS.values()) <= COLUMNS
