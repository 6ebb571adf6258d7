"""Records of the stand-in's org, beyond what all record probes have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from checks.fields import FieldType
from probes.contract import ProbeError, ReadSpec, Reason
from probes.letter_case import folded
from probes.records.salesforce.probe import SalesforceProbe
from probes.records.salesforce.settings import SalesforceSettings
from tests.standins.faults import repeated_page, skipped_page
from tests.standins.salesforce import APP, Fault, Salesforce, faults

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SPEC = ReadSpec(
    data_type="customer",
    collection="Account",
    key="Id",
    changed_at="SystemModstamp",
    fields=("Name", "Balance__c"),
    key_type="salesforce_id",
)
BY_NUMBER = replace(SPEC, key="Customer_Number__c", key_type="string", fields=("Name",))


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        yield found


def opened(org: Salesforce) -> SalesforceProbe:
    words = {"kind": "salesforce", "url": org.url, "client_id": APP.client_id, "client_secret": APP.client_secret}
    return SalesforceProbe(SalesforceSettings.model_validate(words | {"budget": {"timeout": 30}}))


@pytest.fixture
def probe(org: Salesforce) -> Iterator[SalesforceProbe]:
    found = opened(org)
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def many(org: Salesforce, count: int, **values: Any) -> list[str]:
    with org.begin() as people:
        return [
            people.put("Account", {"Name": f"A{n:05}", "Customer_Number__c": f"C-{n:05}", **values})
            for n in range(count)
        ]


# by key


def test_records_by_a_key_in_any_case_once_each(org: Salesforce, probe: SalesforceProbe) -> None:
    keys = [f"C-{n:05}-Müller-Jäger-Öhler" for n in range(100)]
    for key in keys:
        org.put("Account", Name="A", Customer_Number__c=key.upper())
    place = replace(BY_NUMBER, key_type="caseless")
    rows = probe.fetch(place, [folded(key) for key in keys])
    assert sorted(str(row[0]) for row in rows) == sorted(key.upper() for key in keys)
    assert org.calls["query"] > 1  # writings of one key are in several queries


def test_a_field_that_compares_case_cannot_be_looked_up_in_any(org: Salesforce, probe: SalesforceProbe) -> None:
    org.put("Account", Name="A", Token__c="Ab")
    place = replace(BY_NUMBER, key="Token__c", key_type="caseless")
    for call in (lambda: probe.fetch(place, ["ab"]), lambda: probe.inspect(place)):
        refused = failure(call)
        assert (refused.reason, "say key_written: lower" in str(refused)) == (Reason.QUERY, True)


def test_records_by_id_in_either_form_with_one_call(org: Salesforce, probe: SalesforceProbe) -> None:
    known = many(org, 2_000, Balance__c="12.50")
    gone = known.pop()
    org.delete(gone)
    asked = [known[0][:15], *known[1:], gone, "001Hu0000099999AAA", "no id at all"]
    rows = probe.fetch(SPEC, asked)
    assert [row[0] for row in rows] == known
    assert rows[0][1:] == (NOON, "A00000", 12.5)
    assert org.calls == {"token": 1, "retrieve_many": 2}


def test_records_by_another_key_as_they_are_spelt(org: Salesforce, probe: SalesforceProbe) -> None:
    for key in ("O'Brien", "back\\slash", "ünï", "C-1", "%", "a\nb"):
        org.put("Account", Name=key, Customer_Number__c=key)
    asked = ["O'Brien", "back\\slash", "ünï", "c-1", "%", "a\nb", "_"]
    assert sorted(row[0] for row in probe.fetch(BY_NUMBER, asked)) == sorted({*asked} - {"c-1", "_"})


def test_many_keys_are_asked_for_in_addresses_that_are_not_too_long(org: Salesforce, probe: SalesforceProbe) -> None:
    many(org, 400)
    keys = [f"C-{n:05}" for n in range(0, 800, 2)]
    assert len(probe.fetch(BY_NUMBER, keys)) == 200
    assert org.calls["query"] == 1
    long = [f"{'ö' * 36}{n:03}" for n in range(200)]
    assert probe.fetch(BY_NUMBER, long) == []
    assert org.calls["query"] > 3
    assert max(len(each.target) for each in org.requests) < 14_000


def test_several_records_of_one_key_are_all_answered(org: Salesforce, probe: SalesforceProbe) -> None:
    for name in ("One", "Two"):
        org.put("Account", Name=name, Legacy_Code__c="L-1")
    rows = probe.fetch(replace(BY_NUMBER, key="Legacy_Code__c"), ["L-1"])
    assert sorted(row[2] for row in rows) == ["One", "Two"]


def test_fields_of_a_parent(org: Salesforce, probe: SalesforceProbe) -> None:
    account = org.put("Account", Name="Acme")
    one, two = org.put("Contact", LastName="Lee", AccountId=account), org.put("Contact", LastName="Solo")
    spec = replace(SPEC, collection="Contact", fields=("lastname", "Account.Name"))
    rows = {row[0]: row[2:] for row in probe.fetch(spec, [one, two])}
    assert rows == {one: ("Lee", "Acme"), two: ("Solo", None)}


# changes


def walked(probe: SalesforceProbe, since: datetime, limit: int) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = probe.changed(SPEC, since, limit, after)
        found += [row[2] for row in page.rows]
        after = page.next
        if after is None:
            return found


def test_changes_of_the_same_second_are_not_skipped(org: Salesforce, probe: SalesforceProbe) -> None:
    many(org, 25)
    org.clock.advance(1)
    org.put("Account", Name="Later")
    assert walked(probe, NOON, 7) == [f"A{n:05}" for n in range(25)] + ["Later"]
    assert walked(probe, NOON + timedelta(seconds=1), 7) == ["Later"]


def test_a_change_of_the_system_is_found_and_a_late_commit_within_the_slack(
    org: Salesforce, probe: SalesforceProbe
) -> None:
    one = org.put("Account", Name="One")
    batch = org.begin()
    batch.put("Account", {"Name": "Late"})
    org.clock.advance(300)
    org.touch(one)
    assert walked(probe, NOON + timedelta(seconds=1), 10) == ["One"]
    batch.commit()
    slack = SalesforceSettings.model_fields["clock_slack_s"].default
    assert walked(probe, org.clock.now() - timedelta(seconds=slack), 10) == ["Late", "One"]


def test_a_record_without_a_stamp_is_left_to_the_sweep(org: Salesforce, probe: SalesforceProbe) -> None:
    org.put("Account", Name="Stamped", Last_Order__c=NOON)
    org.put("Account", Name="Never")
    spec = replace(SPEC, changed_at="Last_Order__c")
    page = probe.changed(spec, None, 1)
    assert [row[2] for row in page.rows] == ["Stamped"]
    assert probe.changed(spec, None, 1, page.next).rows == []


def test_only_stamps_find_changes(probe: SalesforceProbe) -> None:
    assert failure(lambda: probe.changed(SPEC, 17, 10)).reason is Reason.QUERY
    assert failure(lambda: probe.changed(SPEC, NOON, 10, "17")).reason is Reason.CURSOR_LOST
    assert failure(lambda: probe.page(SPEC, "x' OR Name != '", 10)).reason is Reason.CURSOR_LOST


# listings


def test_a_listing_goes_on_after_a_restart_in_pages_as_short_as_the_org_likes(org: Salesforce) -> None:
    known = many(org, 2_500)
    org.rest.page_size = 700
    seen: list[str] = []
    after = None
    while True:
        probe = opened(org)
        page = probe.page(SPEC, after, 1_000)
        probe.close()
        seen += [row[0] for row in page.rows]
        org.clock.advance(3 * 24 * 3600)  # longer than a query locator lives
        after = page.next
        if after is None:
            break
    assert seen == known


def test_what_was_deleted_is_in_no_listing(org: Salesforce, probe: SalesforceProbe) -> None:
    known = many(org, 3)
    org.delete(known[1])
    org.delete(known[2], purge=True)
    assert [row[0] for row in probe.page(SPEC, None, 10).rows] == known[:1]


# what goes wrong


@pytest.mark.parametrize("fault", [repeated_page, skipped_page])
def test_nothing_follows_from_pages_that_repeat_or_are_left_out(
    org: Salesforce, probe: SalesforceProbe, fault: Callable[[], Fault]
) -> None:
    many(org, 300)
    keys = [f"C-{n:05}" for n in range(300)]
    org.rest.page_size = 100
    assert len(probe.fetch(BY_NUMBER, keys)) == 300
    org.fail(fault(), on="query_more")
    assert failure(lambda: probe.fetch(BY_NUMBER, keys)).reason is Reason.DECODE


def test_an_error_in_the_body_is_no_empty_answer(org: Salesforce, probe: SalesforceProbe) -> None:
    one = org.put("Account", Name="One", Customer_Number__c="C-1")
    org.fail(faults.error_body(), on="query")
    assert failure(lambda: probe.fetch(BY_NUMBER, ["C-1"])).reason is Reason.TIMEOUT
    org.fail(faults.error_body(), on="retrieve_many")
    assert failure(lambda: probe.fetch(SPEC, [one])).reason is Reason.TIMEOUT


def changed_answer(**words: Any) -> Fault:
    from tests.standins.faults import Answer

    def after(answer: Answer) -> Answer:
        return replace(answer, document=answer.document | words)

    return Fault(name="changed", after=after)


@pytest.mark.parametrize(
    "words",
    [
        {"done": False},
        {"done": False, "nextRecordsUrl": "https://elsewhere.example.com/services/data/v62.0/query/01g-100"},
        {"done": False, "nextRecordsUrl": "/services/apexrest/x"},
        {"records": None},
        {"records": [1]},
        {"totalSize": 2},
    ],
)
def test_an_answer_of_another_shape_is_refused(
    org: Salesforce, probe: SalesforceProbe, words: dict[str, Any]
) -> None:
    org.put("Account", Name="One", Customer_Number__c="C-1")
    org.fail(changed_answer(**words), on="query")
    assert failure(lambda: probe.fetch(BY_NUMBER, ["C-1"])).reason is Reason.DECODE
    assert {each.headers["Host"] for each in org.requests} == {org.url[7:]}


def test_fewer_records_than_ids_are_no_answer(org: Salesforce, probe: SalesforceProbe) -> None:
    one, two = org.put("Account", Name="One"), org.put("Account", Name="Two")
    org.fail(Fault(name="short", after=lambda a: replace(a, document=a.document[:1])), on="retrieve_many")
    assert failure(lambda: probe.fetch(SPEC, [one, two])).reason is Reason.DECODE
    org.fail(Fault(name="turned", after=lambda a: replace(a, document=a.document[::-1])), on="retrieve_many")
    assert failure(lambda: probe.fetch(SPEC, [one, two])).reason is Reason.DECODE


def test_a_field_that_went_is_named(org: Salesforce, probe: SalesforceProbe) -> None:
    one = org.put("Account", Name="One")
    org.drop_field("Account", "Balance__c")
    error = failure(lambda: probe.fetch(SPEC, [one]))
    assert (error.reason, "Balance__c" in error.message) == (Reason.QUERY, True)
    assert "field-level security" in error.hint


def test_never_one_call_more_than_the_org_has(org: Salesforce, probe: SalesforceProbe) -> None:
    one = org.put("Account", Name="One")
    org.limits.daily = 2
    for _ in range(2):
        probe.fetch(SPEC, [one])
    error = failure(lambda: probe.fetch(SPEC, [one]))
    assert (error.reason, error.retryable, error.retry_after_s) == (Reason.OVER_BUDGET, True, 300)


# the org


def test_it_says_what_is_doubtful(org: Salesforce, probe: SalesforceProbe) -> None:
    spec = replace(SPEC, key="Phone", changed_at="LastModifiedDate")
    told = " ".join(probe.inspect(spec))
    assert "Phone is not an External Id" in told
    assert "LastModifiedDate does not show changes" in told
    wrong = failure(lambda: probe.inspect(replace(SPEC, fields=("Nane",))))
    assert "did you mean 'Name'" in wrong.message
    assert failure(lambda: probe.fetch(replace(SPEC, key="Renewal__c"), ["2026-01-01"])).reason is Reason.QUERY


def test_it_describes_objects(probe: SalesforceProbe) -> None:
    found = {each.name: {field.name: field for field in each.fields} for each in probe.collections()}
    assert set(found) == {"Account", "Contact", "Subscription__c"}
    account = found["Account"]
    assert (account["Id"].type, account["Balance__c"].type, account["Regions__c"].type) == (
        "salesforce_id", "decimal", "set",
    )  # fmt: skip
    assert account["Customer_Number__c"].unique
    stamps = [name for name in account if name in {"LastModifiedDate", "SystemModstamp"}]
    assert stamps == ["SystemModstamp", "LastModifiedDate"]  # a first map takes the first
    assert {field.type for each in found.values() for field in each.values()} <= {*get_args(FieldType)}


def test_the_clock_is_the_org_s_and_takes_no_call_of_its_allowance(org: Salesforce, probe: SalesforceProbe) -> None:
    org.clock.advance(-3_600)
    assert probe.clock().server_at == NOON - timedelta(hours=1)
    assert org.limits.used == 0
