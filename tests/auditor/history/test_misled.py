"""Who acts on wrong values, and which one mistake explains many records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from auditor.history.lens import Lens
from auditor.history.misled import misled, patterns, words_of
from auditor.ledger import Ledger
from auditor.map.consumers import impact_of
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from checks.causes import Cause, Kind
from checks.fields import Difference, Shape
from checks.judgement import Divergence, DivergenceState
from tests import HOME

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEMO = HOME / "auditor" / "demo_map.yaml"


def demo() -> IntegrationMap:
    return load_map(DEMO, {"DEMO_FOLDER": "/tmp/x", "DEMO_BILLING": "http://127.0.0.1:1"})


def names(flow: str, cause: str, winner: str = "owner") -> tuple[list[str], list[str]]:
    impact = impact_of(demo(), flow, cause, winner)
    return [each.name for each in impact.misled], [each.name for each in impact.right]


def test_who_reads_the_copy_that_does_not_count_is_misled() -> None:
    assert names("customer_to_billing", "late") == (["dunning"], ["sales"])
    assert names("customer_to_billing", "foreign_write", "target") == (["sales"], ["dunning"])
    assert names("customer_to_billing", "invalid") == (["churn model", "dunning", "sales"], [])


def test_where_nobody_can_say_which_copy_is_right_all_may_be_misled() -> None:
    impact = impact_of(demo(), "customer_to_billing", "conflict", "nobody")
    assert ([each.name for each in impact.misled], impact.certain) == (["dunning", "sales"], False)
    assert str(impact) == "dunning (automation), sales (team)"


def difference(field: str, pattern: str) -> Difference:
    return Difference(field=field, shape=Shape.VALUE, owner_value="", target_value="", pattern=pattern)


def lens_over(tmp_path: Path, *told: tuple[str, str, Difference]) -> tuple[Lens, Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    ledger.migrate()
    with ledger.write() as connection:
        rev = ledger.next_revision(connection)
        for number, (flow, cause, each) in enumerate(told):
            divergence = Divergence(
                key=number,
                kind=Kind.VALUE,
                cause=Cause(cause),
                state=DivergenceState.OPEN,
                first_seen_at=NOW,
                last_seen_at=NOW,
                opened_at=NOW,
                winner="owner",
                differences=(each,),
            )
            ledger.save_divergences(connection, rev, flow, "x", [divergence])
    lens = Lens(ledger)
    lens.refresh()
    return lens, ledger


def test_the_gravest_role_comes_first_however_few_its_records(tmp_path: Path) -> None:
    plain = difference("plan", "")
    lens, ledger = lens_over(
        tmp_path,
        *[("customer_to_billing", "late", plain)] * 5,
        ("customer_to_warehouse", "late", plain),
        ("gone_from_the_map", "late", plain),
    )
    found = misled(demo(), lens)
    assert [(each.consumer, each.records) for each in found] == [("churn model", 1), ("dunning", 5)]
    lens.close()
    ledger.close()


def test_differences_that_most_records_share_are_one_finding(tmp_path: Path) -> None:
    shifted, other = difference("amount", "times 100"), difference("amount", "+3")
    lens, ledger = lens_over(
        tmp_path,
        *[("invoice_to_warehouse", "transformation", shifted)] * 4,
        *[("invoice_to_warehouse", "foreign_write", other)] * 2,
        *[("customer_to_billing", "foreign_write", difference("plan", "cut at 8"))] * 2,
    )
    (told,) = patterns(demo(), lens)
    assert str(told) == "amount in warehouse is times 100 in 4 of 6 records"
    assert words_of("+02:00") == "off by +02:00"
    assert words_of("NFC to NFD") == "in Unicode NFD instead of NFC"
    lens.close()
    ledger.close()
