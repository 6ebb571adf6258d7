"""Records of the stand-in's account, beyond what all record probes have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from checks.fields import FieldType
from probes.contract import MISSING, ProbeError, ReadSpec, Reason
from probes.records.hubspot.probe import HubSpotProbe
from probes.records.hubspot.settings import HubSpotSettings
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.faults import Answer, Fault
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot, Property

NOON = datetime(2026, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)
SPEC = ReadSpec(
    data_type="contact",
    collection="contacts",
    key="hs_object_id",
    changed_at="lastmodifieddate",
    fields=("email", "phone"),
)
BY_EMAIL = replace(SPEC, key="email", fields=("phone",))
DEALS = replace(SPEC, collection="deals", changed_at="hs_lastmodifieddate", fields=("dealname",))


@pytest.fixture
def account() -> Iterator[HubSpot]:
    with HubSpot(clock=Clock(NOON)) as server:
        server.searches.most = server.burst.most = 10_000
        yield server


@pytest.fixture
def probe(account: HubSpot) -> Iterator[HubSpotProbe]:
    words = {"kind": "hubspot", "url": account.url, "token": PRIVATE_APP_TOKEN, "budget": {"timeout": 60}}
    found = HubSpotProbe(HubSpotSettings.model_validate(words))
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def many(account: HubSpot, count: int) -> list[str]:
    return [account.create("contacts", email=f"c{at:05}@example.com", phone=str(at)) for at in range(count)]


def answering(document: dict[str, Any], status: int = 200) -> Fault:
    """A fault that answers this document."""
    return Fault(name="document", instead=lambda: Answer(document=document, status=status))


# by key


def test_a_contact_is_found_by_its_address_in_any_case(account: HubSpot, probe: HubSpotProbe) -> None:
    for email in ("Ann@Example.com", "bob@example.com", "MÜLLER@example.com"):
        account.create("contacts", email=email, phone="1")
    place = replace(BY_EMAIL, key_type="caseless")
    asked = ["ann@example.com", "bob@example.com", "müller@example.com", "nobody@example.com"]
    found = sorted(str(row[0]).lower() for row in probe.fetch(place, asked))
    assert found == ["ann@example.com", "bob@example.com", "müller@example.com"]
    assert probe.fetch(replace(place, mistaken=True), ["nobody@example.com"]) == []


def test_records_by_id_with_one_call(account: HubSpot, probe: HubSpotProbe) -> None:
    known = many(account, 98)
    account.archive("contacts", known[3])
    rows = probe.fetch(SPEC, [*known, "99999999", "no id at all"])
    assert [row[0] for row in rows] == [each for each in known if each != known[3]]
    assert rows[0][1:] == ("2026-11-20T12:00:00.123Z", "c00000@example.com", "0")
    assert account.count() == account.count("batch_read") == 1
    assert probe.fetch(SPEC, ["no id at all"]) == []
    assert account.count() == 1


def test_records_by_a_unique_property_as_it_is_spelt(account: HubSpot, probe: HubSpotProbe) -> None:
    account.create("contacts", email="ann@example.com", phone="1")
    account.create("contacts", email="bob+%&/@example.com", phone="2")
    asked = ["ann@example.com", "bob+%&/@example.com", "nobody@example.com", " "]
    assert sorted((row[0], row[2]) for row in probe.fetch(BY_EMAIL, asked)) == [(asked[0], "1"), (asked[1], "2")]
    assert probe.fetch(BY_EMAIL, ["ANN@example.com"]) == []  # another key, which HubSpot would take for this one


def test_several_records_of_one_key_are_all_answered(account: HubSpot, probe: HubSpotProbe) -> None:
    one, two = (account.create("contacts", email="a@example.com", phone=phone) for phone in "12")
    shown = [
        {"id": each, "properties": {"email": "a@example.com", "phone": phone}, "archived": False}
        for each, phone in ((one, "1"), (two, "2"))
    ]
    account.fail(answering({"status": "COMPLETE", "results": shown}), on="batch_read")
    assert sorted(row[2] for row in probe.fetch(BY_EMAIL, ["a@example.com"])) == ["1", "2"]


def test_a_key_that_is_passed_over_in_silence_is_read_alone(account: HubSpot, probe: HubSpotProbe) -> None:
    here = account.create("contacts", email="here@example.com", phone="1")
    account.fail(answering({"status": "COMPLETE", "results": []}), on="batch_read", times=2)
    assert [row[0] for row in probe.fetch(SPEC, [here, "4"])] == [here]
    assert account.count("read") == 2
    account.fail(faults.page_of_a_proxy(404), on="read")
    assert failure(lambda: probe.fetch(SPEC, [here])).reason is Reason.QUERY


def test_an_error_of_one_record_is_no_absence(account: HubSpot, probe: HubSpotProbe) -> None:
    here = account.create("contacts", email="here@example.com")
    error = {"status": "error", "category": "VALIDATION_ERROR", "message": "odd", "context": {"ids": ["4"]}}
    account.fail(answering({"status": "COMPLETE", "results": [], "errors": [error]}, 207), on="batch_read", times=2)
    both = failure(lambda: probe.fetch(SPEC, [here, "4"]))
    alone = failure(lambda: probe.fetch(SPEC, ["4"]))
    assert (both.reason, both.of_key, alone.reason, alone.of_key) == (Reason.DECODE, False, Reason.DECODE, True)


def test_cleared_and_unset_are_both_null_and_unknown_is_missing(account: HubSpot, probe: HubSpotProbe) -> None:
    one = account.create("contacts", email="a@example.com", phone="1", city=None)
    account.update("contacts", one, phone=None)
    (row,) = probe.fetch(replace(SPEC, fields=("phone", "city", "unheard_of")), [one])
    assert row[2:] == (None, None, MISSING)


@pytest.mark.parametrize("member", ["id", "properties", "results", "status"])
def test_another_shape_of_records_is_an_error(account: HubSpot, probe: HubSpotProbe, member: str) -> None:
    one = account.create("contacts", email="a@example.com")
    account.fail(faults.renamed({member: None}), on="batch_read")
    assert failure(lambda: probe.fetch(SPEC, [one])).reason is Reason.DECODE


def test_another_record_than_asked_for_is_an_error(account: HubSpot, probe: HubSpotProbe) -> None:
    one = account.create("contacts", email="a@example.com")
    shown = {"id": "4", "properties": {}, "archived": False}
    account.fail(answering({"status": "COMPLETE", "results": [shown]}), on="batch_read")
    assert "another record" in failure(lambda: probe.fetch(SPEC, [one])).message


# changes


def walked(probe: HubSpotProbe, since: datetime | None, limit: int, spec: ReadSpec = SPEC) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = probe.changed(spec, since, limit, after)
        assert len(page.rows) <= limit
        found += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 8, 1_000])
def test_changes_of_one_instant_are_walked_by_id(account: HubSpot, probe: HubSpotProbe, limit: int) -> None:
    early = account.create("contacts", email="early@example.com")
    account.clock.advance(0.5)
    same = many(account, 8)
    account.clock.advance(0.001)
    late = account.create("contacts", email="late@example.com")
    assert walked(probe, NOON, limit) == [early, *same, late]
    assert walked(probe, NOON + timedelta(seconds=0.501), limit) == [late]


def test_a_walk_may_find_more_than_one_search_answers(account: HubSpot, probe: HubSpotProbe) -> None:
    with account.changing():
        for _ in range(10_050):
            account.create("contacts")
            account.clock.advance(0.001)
    first = probe.changed(SPEC, NOON, 100)
    rest = probe.changed(SPEC, NOON, 100, first.next)
    assert rest.rows[0][1] == "2026-11-20T12:00:00.223Z"
    assert (len(first.rows), len(rest.rows)) == (100, 100)
    asked = [json.loads(each.request.body) for each in account.calls if each.operation == "search"]
    assert not [each for each in asked if "after" in each]  # a later page of a search may be past its 10,000 results


def test_the_search_only_discovers_and_values_are_read_fresh(account: HubSpot, probe: HubSpotProbe) -> None:
    account.index_lag_s = 30
    one = account.create("contacts", email="a@example.com", phone="1")
    assert probe.changed(SPEC, NOON, 10).rows == []
    account.clock.advance(40)
    account.update("contacts", one, phone="2")
    (row,) = probe.changed(SPEC, NOON, 10).rows
    assert row[1:] == ("2026-11-20T12:00:40.123Z", "a@example.com", "2")
    account.archive("contacts", one)
    assert probe.changed(SPEC, NOON, 10).rows == []  # the search knows it still, and it is not there any more


def test_what_changes_again_during_a_walk_does_not_hide_what_lies_between(
    account: HubSpot, probe: HubSpotProbe
) -> None:
    account.index_lag_s = 30
    made = []
    for at in range(6):
        made.append(account.create("contacts", email=f"c{at}@example.com"))
        account.clock.advance(1)
    account.clock.advance(30)
    account.update("contacts", made[0], phone="2")
    first = probe.changed(SPEC, NOON, 3)
    assert [row[0] for row in first.rows] == made[1:3]
    account.clock.advance(31)
    rest = probe.changed(SPEC, NOON, 10, first.next)
    assert [row[0] for row in rest.rows] == [*made[3:], made[0]]


@pytest.mark.parametrize(
    "fault", [faults.skipped_page(), faults.renamed({"total": None})], ids=lambda each: each.name
)
def test_a_search_that_is_not_whole_is_an_error(account: HubSpot, probe: HubSpotProbe, fault: Fault) -> None:
    many(account, 30)
    account.fail(fault, on="search")
    assert failure(lambda: probe.changed(SPEC, NOON, 10)).reason is Reason.DECODE


def test_a_search_in_another_order_is_an_error(account: HubSpot, probe: HubSpotProbe) -> None:
    stamps = ("2026-11-20T12:00:02Z", "2026-11-20T12:00:01Z")
    results = [{"id": str(at), "properties": {"lastmodifieddate": each}} for at, each in enumerate(stamps)]
    account.fail(answering({"total": 2, "results": results}), on="search")
    assert "order" in failure(lambda: probe.changed(SPEC, NOON, 10)).message
    account.fail(answering({"total": 1, "results": results[1:]}), on="search")
    assert "order" in failure(lambda: probe.changed(SPEC, NOON + timedelta(minutes=1), 10)).message


def test_a_position_of_somebody_else_is_lost(probe: HubSpotProbe) -> None:
    for read in (lambda: probe.changed(SPEC, NOON, 10, "17"), lambda: probe.page(SPEC, "17", 10)):
        assert failure(read).reason is Reason.CURSOR_LOST


# lists


def listed(probe: HubSpotProbe, spec: ReadSpec = SPEC, limit: int = 2) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = probe.page(spec, after, limit)
        found += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            return found


def test_a_list_leaves_out_what_is_archived(account: HubSpot, probe: HubSpotProbe) -> None:
    known = many(account, 5)
    account.archive("contacts", known[1])
    assert listed(probe) == [known[0], *known[2:]]


def test_a_repeated_page_of_a_list_is_an_error(account: HubSpot, probe: HubSpotProbe) -> None:
    many(account, 6)
    first = probe.page(SPEC, None, 2)
    account.fail(faults.repeated_page(), on="list")
    assert "repeated" in failure(lambda: probe.page(SPEC, first.next, 2)).message


def test_a_list_of_many_properties_reads_them_as_a_batch(account: HubSpot, probe: HubSpotProbe) -> None:
    names = [f"property_{'x' * 90}_{at}" for at in range(80)]
    for each in names:
        account.add_property("contacts", each)
    one = account.create("contacts", email="a@example.com", **{names[-1]: "here"})
    (row,) = probe.page(replace(SPEC, fields=tuple(names)), None, 10).rows
    assert (row[0], row[-1]) == (one, "here")
    assert (account.count("list"), account.count("batch_read")) == (1, 1)


# associations


def test_associations_are_fields(account: HubSpot, probe: HubSpotProbe) -> None:
    deal, lonely = account.create("deals", dealname="d"), account.create("deals", dealname="l")
    people = many(account, 3)
    for each in reversed(people):
        account.associate("deals", deal, "contacts", each, typeId=3)
    spec = replace(DEALS, fields=("associations.contacts", "dealname", "associations.companies"))
    rows = {row[0]: row[2:] for row in probe.fetch(spec, [deal, lonely])}
    assert rows == {deal: (people, "d", []), lonely: ([], "l", [])}
    assert account.count("associations_batch_read") == 2
    assert probe.changed(spec, NOON, 10).rows[0][2] == people


def test_associations_go_on_where_there_are_many(account: HubSpot, probe: HubSpotProbe) -> None:
    deal = account.create("deals", dealname="d")

    def part(to: str, **more: Any) -> Fault:
        result = {"from": {"id": deal}, "to": [{"toObjectId": to, "associationTypes": []}], **more}
        return answering({"status": "COMPLETE", "results": [result]})

    on = "associations_batch_read"
    spec = replace(DEALS, fields=("associations.contacts",))
    account.fail(part("1", paging={"next": {"after": "x"}}), on=on)
    account.fail(part("2"), on=on)
    assert probe.fetch(spec, [deal])[0][2] == ["1", "2"]
    account.fail(part("1", paging={"next": {"after": "x"}}), on=on, times=2)
    assert "repeated" in failure(lambda: probe.fetch(spec, [deal])).message
    account.fail(answering({"status": "COMPLETE", "results": []}), on=on)
    assert failure(lambda: probe.fetch(spec, [deal])).reason is Reason.DECODE


# what the account describes


def test_custom_types_by_name_and_by_id(account: HubSpot, probe: HubSpotProbe) -> None:
    of = account.add_type("boat", [Property(name="hull", unique=True)])
    account.create(of, hull="H1")
    spec = replace(DEALS, key="hull", fields=("hull",))
    for name in ("boat", "p_boat", "p4711_boat", of):
        assert [row[2] for row in probe.fetch(replace(spec, collection=name), ["H1"])] == ["H1"]
    assert account.count("schemas") == 1


def test_the_doctor_refuses_a_key_that_is_not_unique(probe: HubSpotProbe) -> None:
    assert "not unique" in failure(lambda: probe.inspect(replace(SPEC, key="phone"))).message
    assert probe.inspect(BY_EMAIL)
    assert probe.inspect(replace(SPEC, key="id"))


def test_the_doctor_says_which_stamp_stands_for_every_change(account: HubSpot, probe: HubSpotProbe) -> None:
    assert "lastmodifieddate does" in " ".join(probe.inspect(replace(SPEC, changed_at="createdate")))
    assert "does not stand" not in " ".join(probe.inspect(SPEC))


def test_the_doctor_names_a_missing_scope(account: HubSpot, probe: HubSpotProbe) -> None:
    account.scopes.discard("crm.objects.contacts.read")
    refused = failure(lambda: probe.inspect(SPEC))
    assert (refused.reason, "crm.objects.contacts.read" in refused.hint) == (Reason.PERMISSION, True)
    account.scopes.discard("crm.schemas.custom.read")
    refused = failure(lambda: probe.inspect(replace(SPEC, collection="boats")))
    assert (refused.reason, "crm.schemas.custom.read" in refused.hint) == (Reason.PERMISSION, True)


def test_what_the_account_holds_is_described(account: HubSpot, probe: HubSpotProbe) -> None:
    account.add_type("boat", [Property(name="kinds", type="enumeration", field_type="checkbox")])
    account.scopes.discard("crm.objects.deals.read")
    found = {each.name: each.fields for each in probe.collections()}
    assert [*found] == ["contacts", "companies", "boat"]
    types = {each.name: each.type for fields in found.values() for each in fields}
    assert {*types.values()} <= {*get_args(FieldType)}
    assert (types["kinds"], types["numberofemployees"], types["createdate"]) == ("set", "decimal", "timestamp")
    assert {each.name for each in found["contacts"] if each.unique} == {"hs_object_id", "email"}
    assert "lastmodifieddate" in [each.name for each in found["contacts"][:2]]


def test_a_token_without_any_type_is_told_what_it_needs(account: HubSpot, probe: HubSpotProbe) -> None:
    account.scopes.clear()
    refused = failure(probe.collections)
    assert (refused.reason, "crm.objects.contacts.read" in refused.hint) == (Reason.PERMISSION, True)
