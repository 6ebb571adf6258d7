"""The review of a map: each rule where it holds, and silence where it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditor.map.loader import load_map
from auditor.map.review import Remark, Severity, review
from tests import HOME
from tests.auditor.cli.process import auditor

SOUND = """\
systems:
  crm: {kind: sql, url: "sqlite:///crm.sqlite", zone: UTC}
  billing: {kind: sql, url: "sqlite:///billing.sqlite", zone: UTC}
  shop: {kind: sql, url: "sqlite:///shop.sqlite", zone: UTC}
  warehouse: {kind: sql, url: "sqlite:///warehouse.sqlite", zone: UTC}
data_types:
  customer:
    owner: crm
    window: 30s
    consumers: [{name: dunning, role: automation, reads: billing}]
    fields:
      name: {type: string}
      plan: {type: string}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      billing: {collection: customers, key: id}
      shop: {collection: customers, key: id}
      warehouse: {collection: customers, key: id}
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: event-driven
    idempotency_key: id
    team: billing
    sla: {within_window: 0.99}
    queues:
      dead: {kind: sql_queue, system: billing, table: letters}
"""


def reviewed(text: str, tmp_path: Path) -> list[Remark]:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return review(load_map(file, {}))


def test_a_sound_map_draws_no_remark(tmp_path: Path) -> None:
    assert reviewed(SOUND, tmp_path) == []


FLOW = "\n    from: crm\n    to: billing\n"


@pytest.mark.parametrize(
    ("old", "new", "rule", "severity"),
    [
        ("owner: crm\n", "owner: crm\n    writers: [crm, billing]\n", "no-conflict-policy", "high"),
        ("name: {type: string}", "name: {type: string, writers: [billing]}", "no-conflict-policy", "high"),
        ("event-driven", "batch", "window-below-batch", "high"),
        ("pattern: event-driven", "pattern: batch\n    frequency: every 15m", "window-below-batch", "high"),
        ("plan: {type: string}", "plan: {type: money, currency: EUR}", "money-eventually", "medium"),
        ("    team: billing\n", "    team: billing\n    side_effects: [e-mail]\n", "replay-unsafe", "medium"),
        ("    idempotency_key: id\n", "    side_effects: [e-mail]\n", "replay-unsafe", "high"),
        ("    idempotency_key: id\n", "", "no-idempotency-key", "medium"),
        ("table: letters}", "table: letters, role: main}", "no-dead-letters", "high"),
        ("    team: billing\n", "", "no-team", "low"),
        ("    sla: {within_window: 0.99}\n", "", "no-sla", "low"),
        ("reads: billing", "reads: shop", "nobody-reads", "medium"),
        ("    consumers: [{name: dunning, role: automation, reads: billing}]\n", "", "nobody-reads", "low"),
        ("role: automation", "role: report", "prompt-for-reports", "low"),
    ],
)
def test_a_weak_design_is_remarked_with_its_reason(
    old: str, new: str, rule: str, severity: str, tmp_path: Path
) -> None:
    assert old in SOUND
    found = reviewed(SOUND.replace(old, new, 1), tmp_path)
    assert [(each.rule, each.severity.value) for each in found] == [(rule, severity)]
    assert found[0].subject == "to_billing"
    assert found[0].reason
    assert found[0].advice


def test_a_policy_that_avoids_conflicts_allows_no_second_writer(tmp_path: Path) -> None:
    text = SOUND.replace("owner: crm\n", "owner: crm\n    writers: [crm, billing]\n")
    text = text.replace("    team: billing\n", "    team: billing\n    conflict_policy: avoidance\n")
    assert [each.rule for each in reviewed(text, tmp_path)] == ["avoidance-broken"]
    text = text.replace("conflict_policy: avoidance", "conflict_policy: field-merge")
    assert reviewed(text, tmp_path) == []


def test_a_batch_whose_window_covers_its_runs_is_fine(tmp_path: Path) -> None:
    text = SOUND.replace("pattern: event-driven", "pattern: batch\n    frequency: every 15m\n    window: 30m")
    assert reviewed(text, tmp_path) == []


def joined(*flows: tuple[str, str, str]) -> str:
    """The sound map with other flows: source, target and fields; each field is owned by the first to send it."""
    owners = {field: source for source, _, field in reversed(flows)}
    fields = "\n".join(f"      {field}: {{type: string, owner: {owner}}}" for field, owner in owners.items())
    text = SOUND.replace("      name: {type: string}\n      plan: {type: string}", fields)
    head = "data_type: customer, pattern: batch, window: 1h, conflict_policy: field-merge"
    told = (
        f"  {source}_{target}: {{{head}, from: {source}, to: {target}, fields: [{field}]}}\n"
        for source, target, field in flows
    )
    return text[: text.index("flows:")] + "flows:\n" + "".join(told)


def rules(text: str, tmp_path: Path) -> dict[str, Remark]:
    return {each.rule: each for each in reviewed(text, tmp_path)}


def test_fields_that_go_round_are_a_cycle(tmp_path: Path) -> None:
    text = joined(("billing", "crm", "name"), ("crm", "shop", "plan")) + (
        "  all: {data_type: customer, from: crm, to: billing, pattern: batch, window: 1h, conflict_policy: manual}\n"
    )
    cycle = rules(text, tmp_path)["cycle"]
    assert (cycle.severity, cycle.subject) == (Severity.HIGH, "customer")
    assert "name go round" in cycle.reason
    assert "billing" in cycle.reason
    assert "cycle" not in rules(joined(("crm", "billing", "name"), ("billing", "shop", "plan")), tmp_path)


def test_flows_between_nearly_all_systems_are_a_mesh(tmp_path: Path) -> None:
    ring = (("crm", "billing", "a"), ("billing", "shop", "b"), ("shop", "warehouse", "c"), ("warehouse", "crm", "d"))
    assert rules(joined(*ring), tmp_path)["mesh"].subject == "customer"
    star = (("crm", "billing", "a"), ("crm", "shop", "b"), ("crm", "warehouse", "c"))
    assert "mesh" not in rules(joined(*star), tmp_path)


def test_the_most_severe_comes_first(tmp_path: Path) -> None:
    text = SOUND.replace("    team: billing\n", "").replace("idempotency_key: id", "side_effects: [e-mail]")
    assert [each.severity for each in reviewed(text, tmp_path)] == [Severity.HIGH, Severity.LOW]


def test_every_rule_is_documented() -> None:
    rules = set(re.findall(r'rule=f?"([\w{}-]+)"', (HOME / "auditor" / "map" / "review.py").read_text()))
    text = (HOME / "docs" / "map.md").read_text()
    named = {rule.replace("{word}", word) for rule in rules for word in ("team", "sla")}
    assert len(rules) >= 11
    assert [rule for rule in sorted(named) if f"`{rule}`" not in text] == []


def test_review_fails_on_what_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(SOUND.replace("    team: billing\n", ""))
    assert auditor("review", "--map", file).returncode == 0
    told = auditor("review", "--map", file, "--fail-on", "low", "--json")
    assert told.returncode == 1
    assert '"rule": "no-team"' in told.stdout
    assert auditor("review", "--map", file, "--fail-on", "never").returncode == 0
    wrong = auditor("review", "--map", file, "--fail-on", "hihg")
    assert wrong.returncode == 2
    assert "did you mean 'high'" in wrong.stderr
