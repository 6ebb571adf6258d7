"""Which open breaches go back to one cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.breach_life import OpenBreach
from checks.breaches import MEANINGS, Breach
from checks.root_causes import FlowPlace, QueuePlace, RootCause, evidence_text, groups

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOBS = QueuePlace(identity="to_billing/jobs")
PLACES = {
    "to_billing": FlowPlace(
        source="crm", target="billing", queues={"jobs": JOBS, "dead": QueuePlace(identity="to_billing/dead")}
    ),
    "to_mail": FlowPlace(source="crm", target="mail", queues={"work": JOBS}),
    "to_stock": FlowPlace(source="shop", target="stock", queues={"bus": QueuePlace(identity="x", system="broker")}),
    "prices": FlowPlace(source="erp", target="billing"),
}
_NUMBERS = count(1)


def breach(
    what: str,
    flow: str | None = "to_billing",
    *,
    system: str | None = None,
    queue: str | None = None,
    after_s: float = 0,
    number: int = 5,
    reason: str = "",
) -> OpenBreach:
    return OpenBreach(
        breach_id=next(_NUMBERS),
        incident_id=0,
        fingerprint=f"{flow}/{system}/{queue}/{what}",
        breach=Breach(what),
        flow=None if system else flow,
        system=system,
        queue=queue,
        opened_at=NOW + timedelta(seconds=after_s),
        count=number,
        peak=number,
        clear_since_at=None,
        reason=reason,
        detail="",
        detail_at=None,
    )


def grouped(*breaches: OpenBreach) -> list[tuple[str, str, list[str]]]:
    return [
        (str(each.cause), each.subject, [f"{one.flow or one.system} {one.breach}" for one in each.breaches])
        for each in groups(breaches, PLACES)
    ]


def test_a_stopped_consumer_explains_what_passes_through_its_queue_on_all_flows() -> None:
    assert grouped(
        breach("not_arriving"),
        breach("not_arriving", "to_mail", after_s=20),
        breach("objective", "to_mail", after_s=30),
        breach("stalled", queue="jobs", after_s=70),
        breach("dead_letters", queue="dead", after_s=90),
        breach("orphan", after_s=80),
    ) == [
        (
            "stopped_consumer",
            "queue/to_billing/jobs",
            [
                "to_billing stalled",
                "to_billing dead_letters",
                "to_billing not_arriving",
                "to_mail not_arriving",
                "to_mail objective",
            ],
        ),
        ("orphan", "flow/to_billing", ["to_billing orphan"]),
    ]


def test_dead_letters_are_a_story_of_their_own_once_the_queue_is_read_again() -> None:
    def causes(clear_after_s: float | None, dead_after_s: float) -> list[str]:
        clear = None if clear_after_s is None else NOW + timedelta(seconds=clear_after_s)
        stopped = replace(breach("stalled", queue="jobs"), clear_since_at=clear)
        return [cause for cause, _, _ in grouped(stopped, breach("dead_letters", queue="dead", after_s=dead_after_s))]

    assert causes(None, 90) == causes(90, 60) == ["stopped_consumer"]
    assert causes(60, 90) == ["stopped_consumer", "rejected_messages"]


def test_records_that_never_matched_are_explained_by_as_many_messages_that_wait() -> None:
    def with_stalled(what: str, never_matched: int) -> list[str]:
        found = grouped(breach("unexplained", number=never_matched), breach(what, queue="jobs", after_s=9, number=5))
        return [cause for cause, _, _ in found]

    assert with_stalled("stalled", 5) == ["stopped_consumer"]
    assert with_stalled("backlog", 5) == ["slow_consumer"]
    assert with_stalled("stalled", 6) == ["unexplained", "stopped_consumer"]
    assert with_stalled("unread_queue", 5) == ["unexplained", "unread_queue"]


def test_an_unreachable_system_takes_what_depends_on_it() -> None:
    assert grouped(
        breach("unreachable", system="billing", reason="timeout"),
        breach("unverified", after_s=10),
        breach("unverified", "prices", after_s=10),
        breach("dead_letters", queue="dead", after_s=30),
        breach("not_arriving", "to_mail", after_s=30),
    ) == [
        (
            "unreachable_system",
            "system/billing",
            [
                "billing unreachable",
                "to_billing dead_letters",
                "to_billing unverified",
                "prices unverified",
            ],
        ),
        ("not_arriving", "flow/to_mail", ["to_mail not_arriving"]),
    ]


def test_a_login_that_only_the_auditor_lacks_says_nothing_of_the_flow() -> None:
    assert grouped(
        breach("unreachable", system="billing", reason="auth"),
        breach("unverified", after_s=10),
        breach("not_arriving", after_s=10),
    ) == [
        ("login_refused", "system/billing", ["billing unreachable", "to_billing unverified"]),
        ("not_arriving", "flow/to_billing", ["to_billing not_arriving"]),
    ]


def test_a_used_up_quota_stops_what_writes_there_as_well() -> None:
    assert grouped(
        breach("unreachable", system="billing", reason="over_budget"), breach("not_arriving", after_s=10)
    ) == [("quota_used", "system/billing", ["billing unreachable", "to_billing not_arriving"])]


def test_a_set_clock_explains_what_is_judged_by_its_timestamps() -> None:
    assert grouped(
        breach("clock_step", system="crm"),
        breach("unverified", after_s=10),
        breach("not_arriving", "to_mail", after_s=10),
        breach("not_arriving", "prices", after_s=10),
    ) == [
        ("clock_step", "system/crm", ["crm clock_step", "to_mail not_arriving", "to_billing unverified"]),
        ("not_arriving", "flow/prices", ["prices not_arriving"]),
    ]


@pytest.mark.parametrize(
    ("what", "reason", "cause"),
    [
        ("not_arriving", "partial", "partial_batch"),
        ("transformation", "systematic", "systematic_difference"),
        ("foreign_write", "systematic", "systematic_difference"),
        ("transformation", "", "transformation"),
    ],
)
def test_what_the_records_have_in_common_names_the_cause(what: str, reason: str, cause: str) -> None:
    assert grouped(breach(what, reason=reason)) == [(cause, "flow/to_billing", [f"to_billing {what}"])]


def test_a_queue_that_several_flows_report_counts_once() -> None:
    mine = breach("stalled", queue="jobs", number=20)
    same = breach("stalled", "to_mail", queue="work", number=22)
    letters = breach("dead_letters", queue="dead", number=4, after_s=5)
    (group,) = groups([mine, same, letters], PLACES)
    assert group.repeats == {mine.breach_id}


def test_a_broker_that_cannot_be_reached_explains_its_unread_queues() -> None:
    assert grouped(
        breach("unreachable", system="broker", reason="unreachable"),
        breach("unread_queue", "to_stock", queue="bus", after_s=5),
    ) == [("unreachable_system", "system/broker", ["broker unreachable", "to_stock unread_queue"])]


def test_rejected_messages_explain_the_changes_that_they_carried() -> None:
    assert grouped(breach("dead_letters", queue="dead"), breach("not_arriving", after_s=20)) == [
        ("rejected_messages", "queue/to_billing/dead", ["to_billing dead_letters", "to_billing not_arriving"])
    ]


def test_writes_on_both_sides_by_systems_that_may_are_a_cause_of_their_own() -> None:
    both = breach("write_conflict", reason="concurrent", after_s=60)
    assert grouped(both, breach("conflicts_waiting", after_s=60)) == [
        ("concurrent_writes", "system/billing", ["to_billing write_conflict", "to_billing conflicts_waiting"])
    ]
    assert grouped(replace(both, reason=""))[0][0] == "second_writer", "one of them may not"
    foreign = breach("foreign_write", "prices")
    assert [cause for cause, _, _ in grouped(foreign, both)] == ["second_writer"]
    over = replace(foreign, count=0, clear_since_at=NOW + timedelta(seconds=30))
    assert [cause for cause, _, _ in grouped(over, both)] == ["second_writer", "concurrent_writes"]


def test_one_writer_is_one_incident_on_all_flows_into_its_system() -> None:
    assert grouped(
        breach("foreign_write"),
        breach("write_conflict", "prices", after_s=5),
        breach("conflicts_waiting", "prices", after_s=5),
        breach("lost_update", after_s=9),
    ) == [
        (
            "second_writer",
            "system/billing",
            [
                "to_billing foreign_write",
                "prices write_conflict",
                "to_billing lost_update",
                "prices conflicts_waiting",
            ],
        )
    ]


def test_records_that_never_matched_may_have_been_written_to_before_they_were_seen_to_agree() -> None:
    def causes(flow: str, number: int) -> set[str]:
        found = grouped(breach("foreign_write", number=2), breach("unexplained", flow, number=number))
        return {cause for cause, _, _ in found}

    assert causes("to_billing", 2) == {"second_writer"}
    assert causes("to_billing", 3) == causes("prices", 1) == {"second_writer", "unexplained"}


def test_what_is_late_since_before_the_letters_is_carried_by_them_as_far_as_it_is_left() -> None:
    def causes(late: OpenBreach) -> set[str]:
        return {cause for cause, _, _ in grouped(late, breach("dead_letters", queue="dead", number=6, after_s=60))}

    assert causes(replace(breach("not_arriving", number=174), count=12)) == {"rejected_messages"}
    assert causes(replace(breach("not_arriving", number=174), count=13)) == {"rejected_messages", "not_arriving"}
    later = breach("not_arriving", number=174, after_s=90)
    assert causes(replace(later, count=12)) == {"rejected_messages", "not_arriving"}


def test_what_lasts_explains_before_what_is_over() -> None:
    stalled = breach("stalled", queue="jobs", number=90)
    letters, late = breach("dead_letters", queue="dead", number=6, after_s=60), breach("not_arriving", number=6)
    assert len(grouped(stalled, letters, late)) == 1
    read = replace(stalled, count=0, clear_since_at=NOW + timedelta(seconds=30))
    assert {cause: members for cause, _, members in grouped(read, letters, late)} == {
        "stopped_consumer": ["to_billing stalled"],
        "rejected_messages": ["to_billing dead_letters", "to_billing not_arriving"],
    }
    assert len(grouped(read, late)) == 1, "nothing else explains it"


@pytest.mark.parametrize("what", ["unreachable", "stalled"])
def test_messages_that_are_rejected_once_a_cause_is_over_have_another_one(what: str) -> None:
    system, queue = ("billing", None) if what == "unreachable" else (None, "jobs")
    begun = breach(what, system=system, queue=queue)
    over = replace(begun, count=0, clear_since_at=NOW + timedelta(seconds=30))

    def causes(after_s: float) -> int:
        return len(grouped(over, breach("dead_letters", queue="dead", after_s=after_s)))

    assert (causes(29), causes(31)) == (1, 2)


def test_deletions_that_alone_are_late_are_a_matter_of_their_source() -> None:
    star = {name: FlowPlace(source="crm", target=name) for name in ("billing", "mail", "docs")}
    star["stock"] = FlowPlace(source="shop", target="stock")

    def found(*breaches: OpenBreach) -> list[tuple[str, str, int]]:
        return [(str(each.cause), each.subject, len(each.breaches)) for each in groups(breaches, star)]

    def gone(flow: str) -> OpenBreach:
        return breach("not_arriving", flow, reason="deletions", number=3)

    of_crm = ("deletions_missing", "system/crm")
    assert found(gone("billing")) == [(*of_crm, 1)]
    assert found(gone("billing"), gone("mail"), breach("orphan", "docs")) == [(*of_crm, 3)]
    assert found(gone("billing"), gone("stock")) == [(*of_crm, 1), ("deletions_missing", "system/shop", 1)]
    stopped = found(gone("billing"), breach("not_arriving", "mail"))
    assert stopped == [("nothing_leaves", "system/crm", 2)], "whatever stopped these stopped the deletions"
    over = [replace(gone(flow), count=0) for flow in ("mail", "docs")]
    later = found(*over, breach("not_arriving", "billing"))
    assert later == [("not_arriving", "flow/billing", 1), (*of_crm, 2)], "they are there by now"
    for queue in ("stalled", "backlog"):
        of_queue = [each[0] for each in found(*over, breach(queue, "billing", queue="jobs"))]
        assert of_queue == ["stopped_consumer" if queue == "stalled" else "slow_consumer", "deletions_missing"]


@pytest.mark.parametrize("what", ["stalled", "backlog"])
def test_a_queue_that_stands_still_once_late_changes_have_arrived_has_another_cause(what: str) -> None:
    ends = {name: FlowPlace(source=name, target="billing") for name in ("a", "b", "c")}

    def causes(over_after_s: float | None) -> int:
        late = [breach("not_arriving", "a"), breach("not_arriving", "b")]
        if over_after_s is not None:
            over_at = NOW + timedelta(seconds=over_after_s)
            late = [replace(each, count=0, clear_since_at=over_at) for each in late]
        return len(groups([*late, breach(what, "c", queue="jobs", after_s=60)], ends))

    assert (causes(None), causes(61), causes(59)) == (1, 1, 2)


def test_flows_that_stop_together_share_their_target_or_else_their_source() -> None:
    assert grouped(breach("not_arriving"), breach("not_arriving", "prices", after_s=60)) == [
        ("nothing_arrives", "system/billing", ["to_billing not_arriving", "prices not_arriving"])
    ]
    assert grouped(breach("not_arriving"), breach("not_arriving", "to_mail", after_s=60)) == [
        ("nothing_leaves", "system/crm", ["to_billing not_arriving", "to_mail not_arriving"])
    ]
    apart = grouped(breach("not_arriving"), breach("not_arriving", "prices", after_s=7200))
    assert [cause for cause, _, _ in apart] == ["not_arriving", "not_arriving"]


def test_the_evidence_names_the_flows_of_the_same_system_that_are_on_time() -> None:
    ends = {name: FlowPlace(source=name, target="billing") for name in ("a", "b", "c", "d")}
    late = [breach("not_arriving", "a"), breach("not_arriving", "b")]
    (found,) = groups(late, ends)
    assert found.on_time == ("c", "d")
    assert evidence_text(found).endswith("; no change is late on c, d")
    long_late = breach("not_arriving", "c", after_s=-7200)
    (found,) = (each for each in groups([*late, long_late], ends) if len(each.breaches) == 2)
    assert found.on_time == ("d",)
    (found, *_) = groups([*late, breach("stalled", "c", queue="jobs", after_s=7200)], ends)
    assert found.on_time == ("d",), "what waits in a queue of c may be late"
    (found,) = groups(late, {name: ends[name] for name in ("a", "b")})
    assert "no change is late" not in evidence_text(found)


def test_flows_that_stop_together_in_a_chain_have_one_cause_if_they_are_three() -> None:
    chain = {
        "a_to_b": FlowPlace(source="a", target="b"),
        "b_to_c": FlowPlace(source="b", target="c"),
        "c_to_d": FlowPlace(source="c", target="d"),
        "elsewhere": FlowPlace(source="x", target="y"),
    }
    late = [breach("not_arriving", flow) for flow in chain]
    alone, together = sorted(groups(late, chain), key=lambda each: len(each.breaches))
    assert (together.cause, together.subject) == ("nothing_moves", "system/a+b+c+d")
    assert [each.flow for each in together.breaches] == ["a_to_b", "b_to_c", "c_to_d"]
    assert (alone.cause, alone.subject) == ("not_arriving", "flow/elsewhere")
    assert [each.cause for each in groups(late[:2], chain)] == ["not_arriving", "not_arriving"]


def test_an_objective_missed_meanwhile_on_a_further_flow_of_what_stopped_is_no_story_of_its_own() -> None:
    chain = {
        "a_to_b": FlowPlace(source="a", target="b"),
        "b_to_c": FlowPlace(source="b", target="c"),
        "c_to_d": FlowPlace(source="c", target="d"),
        "d_to_a": FlowPlace(source="d", target="a"),
        "d_to_x": FlowPlace(source="d", target="x"),
    }
    late = [breach("not_arriving", flow) for flow in ("a_to_b", "b_to_c", "c_to_d")]

    def causes(flow: str, after_s: float) -> list[str]:
        return [str(each.cause) for each in groups([*late, breach("objective", flow, after_s=after_s)], chain)]

    assert causes("d_to_a", 30) == ["nothing_moves"]
    assert causes("d_to_x", 30) == ["nothing_moves", "objective"]
    assert causes("d_to_a", -1) == ["objective", "nothing_moves"]


@pytest.mark.parametrize(("ends", "cause"), [("target", "nothing_arrives"), ("source", "nothing_leaves")])
def test_an_objective_missed_meanwhile_at_the_same_end_is_no_story_of_its_own(ends: str, cause: str) -> None:
    def place(name: str, end: str) -> FlowPlace:
        return FlowPlace(source=end, target=name) if ends == "source" else FlowPlace(source=name, target=end)

    places = {"a": place("1", "hub"), "b": place("2", "hub"), "c": place("3", "hub"), "d": place("4", "other")}
    late = [breach("not_arriving", "a"), breach("not_arriving", "b")]
    missed = [breach("objective", "c", after_s=20), breach("objective", "d", after_s=20)]
    together, alone = groups([*late, *missed], places)
    assert (together.cause, [each.flow for each in together.breaches]) == (cause, ["a", "b", "c"])
    assert together.on_time == ()
    assert (alone.cause, alone.subject) == ("objective", "flow/d")
    (first, *_) = groups([late[0], missed[0]], places)
    assert first.cause == "not_arriving", "one flow alone shares nothing"


def test_a_record_that_the_owner_does_not_have_is_a_deletion_that_does_not_leave_it_either() -> None:
    star = {name: FlowPlace(source="crm", target=name) for name in ("billing", "mail", "docs")}
    star["stock"] = FlowPlace(source="shop", target="stock")
    late = [breach("not_arriving", "mail"), breach("not_arriving", "docs")]

    def causes(flow: str, after_s: float, number: int = 1) -> set[str]:
        return {
            str(each.cause) for each in groups([*late, breach("orphan", flow, after_s=after_s, number=number)], star)
        }

    assert causes("billing", 30) == causes("billing", -30) == {"nothing_leaves"}
    assert causes("billing", -3600) == causes("stock", 30) == {"nothing_leaves", "orphan"}
    assert causes("billing", 30, number=500) == {"nothing_leaves", "orphan"}, "too many for what is late elsewhere"


def test_records_that_never_matched_are_late_like_others_if_they_are_no_more_than_those() -> None:
    star = {name: FlowPlace(source="crm", target=name) for name in ("billing", "mail", "docs")}
    late = [breach("not_arriving", "mail"), breach("not_arriving", "docs")]

    def causes(flow: str, number: int, *known: OpenBreach) -> set[str]:
        return {str(each.cause) for each in groups([*known, breach("unexplained", flow, number=number)], star)}

    assert causes("billing", 5, *late) == causes("mail", 5, *late) == {"nothing_leaves"}
    assert causes("billing", 6, *late) == causes("mail", 6, *late) == {"nothing_leaves", "unexplained"}
    assert causes("mail", 5, late[0]) == {"not_arriving"}
    assert causes("mail", 6, late[0]) == causes("docs", 1, late[0]) == {"not_arriving", "unexplained"}


@pytest.mark.parametrize("what", ["stalled", "backlog"])
def test_a_queue_that_stopped_with_what_several_flows_share_is_no_story_of_its_own(what: str) -> None:
    queues = {"waiting": QueuePlace(identity="own")}
    chain = {
        "a_to_b": FlowPlace(source="a", target="b"),
        "b_to_c": FlowPlace(source="b", target="c"),
        "c_to_d": FlowPlace(source="c", target="d"),
        "d_to_a": FlowPlace(source="d", target="a", queues=queues),
        "d_to_x": FlowPlace(source="d", target="x", queues=queues),
    }
    late = [breach("not_arriving", flow) for flow in ("a_to_b", "b_to_c", "c_to_d")]

    def causes(flow: str, after_s: float) -> set[str]:
        own = [
            breach(what, flow, queue="waiting", after_s=after_s),
            breach("not_arriving", flow, after_s=after_s),
        ]
        return {str(each.cause) for each in groups([*late, *own], chain)}

    alone = "stopped_consumer" if what == "stalled" else "slow_consumer"
    assert causes("d_to_a", 30) == causes("d_to_a", -30) == {"nothing_moves"}
    assert causes("d_to_x", 30) == {"nothing_moves", alone}
    assert causes("d_to_a", -3600) == {"nothing_moves", alone}


@pytest.mark.parametrize("what", ["objective", "stalled"])
def test_what_stands_still_between_the_systems_of_flows_with_one_end_is_no_story_of_its_own(what: str) -> None:
    queues = {"waiting": QueuePlace(identity="own")}
    places = {
        "one": FlowPlace(source="hub", target="a"),
        "two": FlowPlace(source="hub", target="b"),
        "between": FlowPlace(source="a", target="b", queues=queues),
        "beyond": FlowPlace(source="b", target="c", queues=queues),
    }
    late = [breach("not_arriving", "one"), breach("not_arriving", "two")]

    def subjects(flow: str) -> list[str]:
        queue = None if what == "objective" else "waiting"
        return [each.subject for each in groups([*late, breach(what, flow, queue=queue, after_s=20)], places)]

    assert subjects("between") == ["system/hub"]
    assert len(subjects("beyond")) == 2


def test_dead_letters_explain_no_more_late_records_than_they_can_carry() -> None:
    for letters, late, causes in (
        (1, 10, ["rejected_messages"]),
        (10, 20, ["rejected_messages"]),
        (10, 21, ["rejected_messages", "not_arriving"]),
    ):
        found = grouped(breach("dead_letters", queue="dead", number=letters), breach("not_arriving", number=late))
        assert sorted(str(cause) for cause, _, _ in found) == sorted(causes)


def test_what_began_long_before_is_not_explained() -> None:
    long_ago = breach("not_arriving", after_s=-3600)
    causes = [cause for cause, _, _ in grouped(long_ago, breach("stalled", queue="jobs"))]
    assert causes == ["not_arriving", "stopped_consumer"]


def test_duplicates_and_the_rules_that_they_break_are_one_incident() -> None:
    assert [cause for cause, _, _ in grouped(breach("duplicate"), breach("invalid"), breach("unexplained"))] == [
        "duplicate"
    ]


def test_breaches_of_a_flow_that_the_map_does_not_have_are_alone() -> None:
    assert [cause for cause, _, _ in grouped(breach("stalled", "gone", queue="q"), breach("objective", "gone"))] == [
        "objective",
        "stalled",
    ]


def test_the_evidence_names_what_is_explained() -> None:
    (group,) = groups([breach("stalled", queue="jobs"), breach("not_arriving", "to_mail", after_s=5)], PLACES)
    assert evidence_text(group) == (
        "These changes pass through the queue: changes do not arrive within the window on to_mail"
    )
    (alone,) = groups([breach("orphan")], PLACES)
    assert evidence_text(alone) == ""


BREACHES = st.builds(
    breach,
    st.sampled_from([each.value for each in Breach if each is not Breach.UNREACHABLE]),
    st.sampled_from([*PLACES, "gone"]),
    queue=st.sampled_from([None, "jobs", "dead", "work"]),
    after_s=st.integers(-4000, 4000),
    number=st.integers(0, 300),
)
SYSTEMS = st.builds(
    breach,
    st.just("unreachable"),
    system=st.sampled_from(["crm", "billing", "mail", "broker"]),
    after_s=st.integers(-4000, 4000),
    reason=st.sampled_from(["timeout", "auth", "over_budget", ""]),
)


@given(st.lists(BREACHES | SYSTEMS, max_size=25), st.randoms(use_true_random=False))
def test_every_breach_is_in_one_group_whatever_the_order(breaches: list[OpenBreach], random: object) -> None:
    found = groups(breaches, PLACES)
    members = [each.breach_id for group in found for each in group.breaches]
    assert sorted(members) == sorted(each.breach_id for each in breaches)
    assert len({group.fingerprint for group in found}) == len(found)
    shuffled = list(breaches)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert groups(shuffled, PLACES) == found
    for group in found:
        assert isinstance(group.cause, RootCause) or group.cause in MEANINGS


@pytest.mark.parametrize(
    "what", ["duplicate", "orphan", "lost_update", "regression", "transformation", "invalid", "unexplained"]
)
def test_conflicts_that_wait_belong_to_what_they_are_about(what: str) -> None:
    found = grouped(breach("conflicts_waiting"), breach(what, after_s=2))
    assert found == [(what, "flow/to_billing", [f"to_billing {what}", "to_billing conflicts_waiting"])]
