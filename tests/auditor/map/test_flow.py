"""A flow with everything that the map says about it."""

from __future__ import annotations

from pathlib import Path

from tests.auditor.map.test_loader import GOOD, load


def test_a_good_map_says_everything_about_a_flow(tmp_path: Path) -> None:
    flow = load(GOOD, tmp_path).flow("customer_to_billing")
    assert (flow.window_s, flow.every_s, flow.source_name, flow.target_name) == (30, 10, "crm", "billing")
    assert flow.field_names == ("email", "plan")
    assert flow.source_spec.collection == "customers"


def test_fields_that_are_not_compared_or_not_carried_are_left_out(tmp_path: Path) -> None:
    text = GOOD.replace("{type: enum}", "{type: enum}\n      seen: {compare: false}\n      note: {}")
    text = text.replace('one: "/customers/{key}"', 'one: "/customers/{key}", fields: {email: mail}, absent: [note]')
    flow = load(text, tmp_path).flow("customer_to_billing")
    assert flow.field_names == ("email", "plan")
    assert (flow.source_spec.fields, flow.target_spec.fields) == (("email", "plan"), ("mail", "plan"))
