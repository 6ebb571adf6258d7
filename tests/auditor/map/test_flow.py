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


def test_text_becomes_a_key_of_the_data_type_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    flow = load(GOOD.replace("window: 30s", "window: 30s\n    key_type: integer"), tmp_path).flow(
        "customer_to_billing"
    )
    assert flow.parse_keys(["7", "none", "", "-8"]) == [7, -8]
    assert [flow.parse_key("7"), flow.parse_key("seven")] == [7, None]
    text = load(GOOD, tmp_path).flow("customer_to_billing")
    assert text.parse_keys(["cafe\u0301", "\ud800", "x" * 3_000]) == ["caf\u00e9"]
