"""Verdicts on single records: verified, differs, unknown; a doubt never looks like agreement."""

from __future__ import annotations

from datetime import timedelta

import pytest

from auditor.history.verified import STATUS, RecordState, RecordVerdict, record_verdict
from auditor.map.integration_map import UnknownNameError
from tests.stand import Stand


def verdict_of(stand: Stand, key: str, within_s: float | None = 3600, after_s: float = 0.0) -> RecordVerdict:
    return record_verdict(
        stand.map,
        stand.ledger,
        "customer",
        key,
        now=stand.clock.now() + timedelta(seconds=after_s),
        within_s=within_s,
        series={"to_billing": stand.map.flow("to_billing").comparer(b"k" * 32).series},
    )


def test_a_record_is_verified_as_of_the_last_time_both_copies_were_read(stand: Stand) -> None:
    before = stand.clock.now()
    stand.agree(5)
    verdict = verdict_of(stand, "3")
    assert verdict.verdict is RecordState.VERIFIED
    assert verdict.as_of_at is not None
    assert before <= verdict.as_of_at <= stand.clock.now()
    first = verdict.as_of_at
    stand.sweep()
    later = verdict_of(stand, "3").as_of_at
    assert later is not None
    assert later > first


def test_a_verdict_older_than_allowed_is_unknown_and_says_what_was_seen(stand: Stand) -> None:
    stand.agree(5)
    assert verdict_of(stand, "3", within_s=60).verdict is RecordState.VERIFIED
    verdict = verdict_of(stand, "3", within_s=60, after_s=90)
    assert (verdict.verdict, verdict.as_of_at) == (RecordState.UNKNOWN, None)
    assert "verified as of" in verdict.reasons[0]
    assert verdict_of(stand, "3", within_s=3600, after_s=90).verdict is RecordState.VERIFIED


def test_a_flow_that_is_no_longer_audited_makes_every_record_unknown(stand: Stand) -> None:
    stand.agree(5)
    verdict = verdict_of(stand, "3", within_s=None, after_s=90)
    assert verdict.verdict is RecordState.UNKNOWN
    assert "not audited for two intervals" in verdict.reasons[0]


def test_a_clock_that_was_set_back_makes_it_unknown(stand: Stand) -> None:
    stand.agree(5)
    assert verdict_of(stand, "3", after_s=-90, within_s=60).verdict is RecordState.UNKNOWN


@pytest.mark.parametrize("key", ["99", "-1"])
def test_a_record_that_no_audit_has_seen_is_unknown(stand: Stand, key: str) -> None:
    stand.agree(5)
    verdict = verdict_of(stand, key)
    assert verdict.verdict is RecordState.UNKNOWN
    assert verdict.reasons == ("to_billing: no audit has seen both copies agree",)


def test_before_the_first_audit_everything_is_unknown(stand: Stand) -> None:
    assert verdict_of(stand, "3").reasons == ("to_billing: the flow was never audited",)


def test_a_change_on_its_way_is_unknown_and_a_missed_one_differs(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, name="Eve", ago_s=0)
    stand.audit()
    verdict = verdict_of(stand, "3")
    assert (verdict.verdict, verdict.reasons) == (RecordState.UNKNOWN, ("to_billing: a change is on its way",))
    assert verdict_of(stand, "4").verdict is RecordState.VERIFIED
    stand.clock.advance(6)
    stand.audit()
    stand.clock.advance(2)
    stand.audit()
    verdict = verdict_of(stand, "3")
    assert (verdict.verdict, verdict.flows[0].fields) == (RecordState.DIFFERS, ("name",))
    stand.put("billing", 3, name="Eve", ago_s=0)
    stand.clock.advance(60)
    stand.audit()
    assert verdict_of(stand, "3").verdict is RecordState.VERIFIED


def test_a_record_that_cannot_be_read_is_unknown(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET amount = 'many' WHERE id = 3")
    stand.sweep()
    verdict = verdict_of(stand, "3")
    assert verdict.verdict is RecordState.UNKNOWN
    assert "it cannot be verified" in verdict.reasons[0]


def test_other_rules_than_those_of_the_last_audit_make_it_unknown(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("amount: {type: decimal, evidence: clear", "amount: {type: decimal, tolerance: 5, evidence: clear")
    verdict = verdict_of(stand, "3")
    assert verdict.reasons == ("to_billing: the map or the digest key has changed since the last audit",)


@pytest.mark.parametrize("words", [("customer", "x", None), ("order", "1", None), ("customer", "1", ["to_mars"])])
def test_names_that_the_map_does_not_have(stand: Stand, words: tuple[str, str, list[str] | None]) -> None:
    data_type, key, flows = words
    with pytest.raises(UnknownNameError):
        record_verdict(
            stand.map, stand.ledger, data_type, key, now=stand.clock.now(), flows=flows, series={"to_billing": ""}
        )


def test_only_a_verified_record_has_a_status_of_success() -> None:
    assert {state: status for state, status in STATUS.items() if status < 400} == {RecordState.VERIFIED: 200}
