"""The map as a document, as a picture, and compared with another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from auditor.map.diagram import BELOW_ROOM, placed, role, shortened, svg
from auditor.map.diff import compare
from auditor.map.document import markdown, mermaid, part_of, rows_of
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from tests import HOME

COMPANY = HOME / "tests" / "company.yaml"
ENVIRONMENT = {"FOLDER": "/tmp/x", "BILLING": "http://127.0.0.1:1"}


def loaded(tmp_path: Path, *changes: tuple[str, str]) -> IntegrationMap:
    text = COMPANY.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / f"map{len(changes)}.yaml"
    file.write_text(text)
    return load_map(file, ENVIRONMENT)


def test_the_document_tells_every_flow_with_all_it_says(tmp_path: Path) -> None:
    demo = loaded(tmp_path)
    text = markdown(demo)
    for flow in demo.flows.values():
        for word in (flow.trigger, flow.team, flow.frequency, *flow.side_effects):
            assert word in text
    for name, data_type in demo.data_types.items():
        assert f"### {name}" in text
        assert f"Source of truth: **{data_type.owner}**" in text
        assert all(consumer.name in text for consumer in data_type.consumers)
    assert "| fields |" in text
    assert "no negative invoice" in text
    assert len(rows_of(demo)) == len(demo.flows)


def test_the_diagram_names_every_system_flow_and_consumer(tmp_path: Path) -> None:
    demo = loaded(tmp_path)
    text = mermaid(demo)
    assert text.count("-->") == len(demo.flows)
    assert text.count("-.->") == 4
    assert 's0["crm<br/>owns customer"]' in text


@pytest.mark.parametrize(
    ("owned", "said"),
    [
        (["a", "b"], "owns a, b"),
        (["customer", "welcome"], "owns customer, 1 more"),
        (["customer", "order", "x"], "owns customer, 2 more"),
        (["subscription", "welcome"], "owns 2 data types"),
        (["subscription_invoice_line"], "owns subscription_in…"),
    ],
)
def test_what_a_system_owns_is_shortened_by_whole_words_with_a_count(
    owned: list[str], said: str, tmp_path: Path
) -> None:
    demo = loaded(tmp_path)
    customer = demo.data_types["customer"]
    shown = role(replace(demo, data_types=dict.fromkeys(owned, customer)), customer.owner)
    assert shown == said
    assert len(shown) <= BELOW_ROOM


def test_a_system_that_no_flow_uses_is_not_said_to_hold_queues(tmp_path: Path) -> None:
    attic = ("systems:\n", 'systems:\n  attic: {kind: sql, url: "sqlite:///${FOLDER}/attic.sqlite", zone: UTC}\n')
    demo = loaded(tmp_path, attic)
    assert [part_of(demo, name) for name in ("attic", "sync", "warehouse")] == [
        "used by no flow",
        "queues",
        "holds copies",
    ]
    assert ">used by no flow<" in svg(demo)


@pytest.mark.parametrize(
    ("names", "most", "said"),
    [
        (["crm"], 4, ["crm"]),
        (["sys_marketing_01", "sys_marketing_02"], 14, ["sys_ma…ing_01", "sys_ma…ing_02"]),
        (["subscriptions_eu_live", "subscriptions_us_live"], 12, ["subsc…u_live", "subsc…s_live"]),
        (["orders_eu_sandbox_2026", "orders_us_sandbox_2026"], 12, ["orders_e…026", "orders_u…026"]),
        (["顧客管理システム一号", "顧客管理システム二号"], 11, ["顧客管…一号", "顧客管…二号"]),
    ],
)
def test_a_shortened_name_keeps_what_tells_it_from_others(names: list[str], most: int, said: list[str]) -> None:
    assert [*shortened(names, most).values()] == said


def test_the_picture_is_well_formed_and_shows_how_flows_stand(tmp_path: Path) -> None:
    demo = loaded(tmp_path)
    root = ElementTree.fromstring(svg(demo, {"customer_to_billing": "drift"}))
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"crm", "billing", "warehouse", "dunning"} <= set(texts)
    titles = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "customer_to_billing: drift" in titles
    assert "drift" in texts
    drawn = placed(demo)
    across = [drawn.systems[name].x for name in ("crm", "sync", "billing", "warehouse")]
    assert across[0] == across[1] < across[2] < across[3] < min(each.x for each in drawn.consumers.values())


def test_a_part_of_the_map_is_placed_with_its_systems_and_consumers_alone(tmp_path: Path) -> None:
    drawn = placed(loaded(tmp_path), ["invoice_to_warehouse"])
    assert set(drawn.systems) == {"billing", "warehouse"}
    assert set(drawn.consumers) == {"revenue report (report)"}
    assert placed(loaded(tmp_path), []).systems == {}


def test_flows_that_go_round_still_make_a_picture(tmp_path: Path) -> None:
    round_trip = loaded(
        tmp_path,
        (
            "flows:\n",
            "flows:\n  back:\n    {data_type: invoice, from: billing, to: crm, pattern: batch, window: 5m}\n",
        ),
        (
            "      warehouse: {collection: fact_invoice, key: invoice_id}\n",
            "      warehouse: {collection: fact_invoice, key: invoice_id}\n"
            "      crm: {collection: invoices, key: id}\n",
        ),
    )
    ElementTree.fromstring(svg(round_trip))
    assert len(placed(round_trip).systems) == len(round_trip.systems)


def test_names_that_mean_something_in_a_picture_do_no_harm(tmp_path: Path) -> None:
    odd = loaded(tmp_path, ("name: dunning", 'name: "<b>|\\"dunning"'))
    ElementTree.fromstring(svg(odd))
    assert '"dunning' not in mermaid(odd).replace('(["', "")
    assert "\\|" in markdown(odd)


@pytest.mark.parametrize(
    ("change", "path", "kind", "judges"),
    [
        (("window: 10s", "window: 20s"), "data_types.customer.window", "changed", True),
        (("team: billing", "team: finance"), "flows.customer_to_billing.team", "changed", False),
        (("    business_key: [email]\n", ""), "data_types.customer.business_key", "changed", True),
        (("role: main", "role: retry"), "flows.customer_to_billing.queues.waiting.role", "changed", True),
        (
            ("      state: {type: enum, evidence: clear}\n", ""),
            "data_types.invoice.fields.state",
            "removed",
            True,
        ),
    ],
)
def test_what_changed_between_two_maps_is_told_word_by_word(
    change: tuple[str, str], path: str, kind: str, judges: bool, tmp_path: Path
) -> None:
    edits = compare(loaded(tmp_path), loaded(tmp_path, change))
    assert [(each.path, each.change, each.judges) for each in edits] == [(path, kind, judges)]


def test_a_map_says_the_same_as_itself_and_never_tells_a_secret(tmp_path: Path) -> None:
    assert compare(loaded(tmp_path), loaded(tmp_path)) == []
    secret = loaded(tmp_path, ('url: "${BILLING}"', 'url: "http://user:hunter2@127.0.0.1:9"'))
    assert "hunter2" not in "".join(map(str, compare(loaded(tmp_path), secret)))


def test_what_was_added_is_told_as_it_is_written_in_a_map(tmp_path: Path) -> None:
    wider = loaded(tmp_path, ("window: 10s", "window: 20s"))
    (edit,) = compare(loaded(tmp_path), wider)
    assert (edit.before, edit.after) == ("10s", "20s")
    field = ("      state: {type: enum, evidence: clear}\n", "")
    (edit,) = compare(loaded(tmp_path), loaded(tmp_path, field))
    assert edit.before == "type: enum, evidence: clear"
    bare = ("state: {type: enum, evidence: clear}", "state: {type: enum, evidence: clear, compare: false}")
    (edit,) = compare(loaded(tmp_path), loaded(tmp_path, bare))
    assert (edit.before, edit.after) == ("true", "false")
