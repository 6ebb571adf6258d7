"""A flow with a field that arrives later than the others, through the map, the audit and the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.map.idle_words import idle_words
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import MAP, Stand

AMOUNT = "amount: {type: decimal, evidence: clear, valid: {min: 0}}"


def verdicts(stand: Stand, key: int) -> list[object]:
    return [each["verdict"] for each in stand.rows("changes") if each["key"] == str(key)]


@pytest.fixture
def derived(stand: Stand) -> Stand:
    """The amount is computed in the target, within 20 s; everything else arrives within 4 s."""
    stand.remap(AMOUNT, AMOUNT.replace("valid", "window: 20s, valid"))
    stand.agree(10)
    stand.audit()
    return stand


def test_a_derived_field_may_arrive_after_the_flows_window(derived: Stand) -> None:
    derived.put("crm", 3, "Grace", "9.00", ago_s=0)
    derived.audit_until(lambda: verdicts(derived, 3))
    derived.put("billing", 3, "Grace", "1.00")
    began = derived.clock.now()
    derived.audit_until(lambda: (derived.clock.now() - began).total_seconds() > 12)
    assert verdicts(derived, 3) == ["pending"]
    assert open_causes(derived) == {}
    derived.put("billing", 3, "Grace", "9.00")
    derived.audit_until(lambda: verdicts(derived, 3) == ["met"])


def test_a_derived_field_is_late_after_its_own_window(derived: Stand) -> None:
    derived.put("crm", 3, "Grace", "9.00", ago_s=0)
    derived.audit_until(lambda: verdicts(derived, 3))
    derived.put("billing", 3, "Grace", "1.00")
    began = derived.clock.now()
    derived.audit_until(lambda: open_causes(derived) == {"late": 1})
    assert (derived.clock.now() - began).total_seconds() > 19


def test_the_other_fields_keep_the_flows_window(derived: Stand) -> None:
    derived.put("crm", 3, "Grace", "9.00", ago_s=0)
    began = derived.clock.now()
    derived.audit_until(lambda: open_causes(derived) == {"late": 1})
    assert (derived.clock.now() - began).total_seconds() < 19


@pytest.mark.parametrize("window", ["100ms", "8d"])
def test_a_window_that_cannot_be_judged_is_refused(tmp_path: Path, window: str) -> None:
    text = MAP.replace("${PLACE}", str(tmp_path)).replace(AMOUNT, f"amount: {{type: decimal, window: {window}}}")
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(MapError, match="windows of fields are from 1 s to 7 days"):
        load_map(tmp_path / "map.yaml", {})


def test_a_window_that_gives_a_field_no_more_time_is_remarked(tmp_path: Path) -> None:
    text = MAP.replace("${PLACE}", str(tmp_path)).replace(AMOUNT, "amount: {type: decimal, window: 4s}")
    (tmp_path / "map.yaml").write_text(text)
    told = dict(idle_words(load_map(tmp_path / "map.yaml", {})))
    assert "no more time" in told["data_types", "customer", "fields", "amount", "window"]
