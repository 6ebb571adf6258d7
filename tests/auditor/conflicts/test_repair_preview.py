"""What of a repair proposal may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair_formats import write_sql
from auditor.conflicts.repair_preview import change_text, shown
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from probes.contract import MISSING
from tests.stand import MAP


@pytest.fixture
def loaded(tmp_path: Path) -> IntegrationMap:
    text = MAP.replace("${PLACE}", str(tmp_path))
    text = text.replace("name: {type: string, evidence: clear}", "name: {type: string, evidence: masked}")
    text = text.replace("amount: {type: decimal, evidence: clear,", "amount: {type: decimal,")
    text = text.replace(
        "billing: {collection: customers, key: id}",
        "billing: {collection: customers, key: id, fields: {name: full_name}, deleted: gone}",
    )
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return load_map(file, {})


def proposal(action: str, changes: dict[str, Any], guard: dict[str, Any], system: str = "billing") -> Proposal:
    return Proposal(
        flow="to_billing",
        data_type="customer",
        key=3,
        cause="late",
        action=action,
        system=system,
        collection="customers",
        key_field="id",
        changes=changes,
        guard=guard,
        why="crm is the source of truth",
        warnings=("it sends a mail",),
    )


def test_values_are_shown_as_far_as_their_fields_allow(loaded: IntegrationMap) -> None:
    made = proposal(
        "update",
        {"full_name": "Grace Hopper", "amount": "12.34", "unknown": "s3cret", "gone": True},
        {"full_name": None, "amount": MISSING, "unknown": "s3cret", "gone": False},
    )
    seen = shown(loaded, made)
    assert dict(seen.changes) == {"full_name": "G***r (12)", "amount": "***", "unknown": "***", "gone": True}
    assert change_text(seen) == (
        "full_name: NULL → G***r (12); amount: missing → ***; unknown: *** → ***; gone: False → True"
    )
    text = write_sql(loaded, [seen])
    for value in ("Grace", "12.34", "s3cret"):
        assert value not in text
    assert "UPDATE" in text
    assert "G***r (12)" in text
    assert "-- WARNING: it sends a mail" in text


def test_what_is_inserted_or_deleted_is_said_in_words(loaded: IntegrationMap) -> None:
    added = shown(loaded, proposal("insert", {"full_name": "Ada", "amount": None}, {}))
    assert change_text(added) == "full_name: *** (3); amount: NULL"
    removed = shown(loaded, proposal("delete", {}, {"full_name": "Grace Hopper"}))
    assert change_text(removed) == "the whole record"
    assert "Hopper" not in write_sql(loaded, [removed])


def test_a_record_without_a_proposal_stays_as_it_is(loaded: IntegrationMap) -> None:
    none = proposal("none", {}, {}, system="")
    assert shown(loaded, none) is none
    assert change_text(none) == ""
