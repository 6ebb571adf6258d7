"""The state of a flow and the columns in which it is kept."""

from __future__ import annotations

from dataclasses import fields

from auditor.ledger import FlowState
from auditor.ledger import tables as t
from auditor.ledger.flow_state import SWEEP_COLUMNS, Sweep, state_of, state_row

COLUMNS = {column.name for column in t.flow_state.c} - {"flow"}


def test_every_column_is_an_attribute_and_every_attribute_a_column() -> None:
    assert state_row(FlowState()).keys() == COLUMNS
    distinct = {name: at for at, name in enumerate(sorted(COLUMNS))}
    assert state_row(state_of(distinct)) == distinct


def test_the_columns_of_a_sweep_are_those_of_its_attributes() -> None:
    assert SWEEP_COLUMNS.keys() == {each.name for each in fields(Sweep)}
    assert set(SWEEP_COLUMNS.values()) <= COLUMNS
