"""Lists of keys by query jobs of the stand-in's org, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from probes.contract import Page, ProbeError, ReadSpec, Reason, Row
from probes.metering import metered
from probes.records.salesforce import bulk
from probes.records.salesforce.bulk import Place, place_of
from probes.records.salesforce.probe import SalesforceProbe
from probes.records.salesforce.settings import SalesforceSettings
from tests.probes.meters import CountingMeter
from tests.standins.faults import cut_off, truncated
from tests.standins.salesforce import APP, Fault, Salesforce, faults
from tests.standins.salesforce.faults import Answer

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SPEC = ReadSpec(
    data_type="customer",
    collection="Account",
    key="Id",
    changed_at="SystemModstamp",
    fields=("Name",),
    key_type="salesforce_id",
)
KEYS = SPEC.keys_only()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of the tests are small, and so are the sets of their results."""
    monkeypatch.setattr(bulk, "WORTHWHILE", 10)
    monkeypatch.setattr(bulk, "LEAST_LIMIT", 4)
    monkeypatch.setattr(bulk, "SET_LINES", 8)
    monkeypatch.setattr(bulk, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        yield found


def opened(org: Salesforce, **more: Any) -> SalesforceProbe:
    words = {"kind": "salesforce", "url": org.url, "client_id": APP.client_id, "client_secret": APP.client_secret}
    return SalesforceProbe(SalesforceSettings.model_validate(words | {"budget": {"timeout": 30}} | more))


@pytest.fixture
def probe(org: Salesforce) -> Iterator[SalesforceProbe]:
    found = opened(org)
    yield found
    found.close()


def filled(org: Salesforce, count: int = 21) -> list[str]:
    with org.begin() as people:
        return [people.put("Account", {"Name": f"A{n}", "NumberOfEmployees": n}) for n in range(count)]


def pages(probe: SalesforceProbe, spec: ReadSpec = KEYS, limit: int = 5, after: str | None = None) -> Iterator[Page]:
    while True:
        page = probe.page(spec, after, limit)
        yield page
        after = page.next
        if after is None:
            return


def rows(probe: SalesforceProbe, spec: ReadSpec = KEYS, limit: int = 5, after: str | None = None) -> list[Row]:
    return [row for page in pages(probe, spec, limit, after) for row in page.rows]


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def test_a_large_object_is_listed_by_a_job_with_few_calls(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org)
    assert sorted(row[0] for row in rows(probe)) == sorted(ids)
    sent = [(each.method, each.path.partition("/v62.0/")[2]) for each in org.requests if "/jobs/" in each.path]
    assert [method for method, _ in sent].count("POST") == 1
    assert sum(path.endswith("/results") for _, path in sent) == 3
    assert org.calls["query"] == 1  # the count


def test_a_job_survives_a_restart_in_the_middle_of_a_set(org: Salesforce) -> None:
    ids = filled(org)
    after, found = None, []
    for _ in range(50):
        probe = opened(org)
        page = probe.page(KEYS, after, 5)
        probe.close()
        found += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            break
    assert sorted(found) == sorted(ids)
    assert sum(each.method == "POST" and each.path.endswith("/jobs/query") for each in org.requests) == 1


@pytest.mark.parametrize(
    ("spec", "limit"),
    [(SPEC, 5), (SPEC.without_values(), 5), (replace(KEYS, fields=("Name",)), 5), (KEYS, 3)],
)
def test_values_stamps_and_a_few_keys_are_read_by_pages(
    org: Salesforce, probe: SalesforceProbe, spec: ReadSpec, limit: int
) -> None:
    ids = filled(org)
    assert [row[0] for row in rows(probe, spec, limit)] == sorted(ids)
    assert not any("/jobs/" in each.path for each in org.requests)


def test_a_small_object_is_read_by_pages(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org, 9)
    assert [row[0] for row in rows(probe)] == sorted(ids)
    assert not any("/jobs/" in each.path for each in org.requests)


def test_the_map_can_forbid_jobs(org: Salesforce) -> None:
    filled(org)
    probe = opened(org, bulk=False)
    assert len(rows(probe)) == 21
    assert not any("/jobs/" in each.path for each in org.requests)
    probe.close()


def test_values_have_the_types_of_json(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org)
    org.delete(ids[0])
    org.put("Account", Name="no number")
    spec = replace(KEYS, key="NumberOfEmployees", fields=("IsDeleted",), deleted="IsDeleted")
    found = rows(probe, spec)
    assert len(found) == 22
    assert (Decimal(0), None, True) in found
    assert (Decimal(20), None, False) in found
    assert (None, None, False) in found


def test_a_job_that_still_runs_is_looked_at_again_later(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    org.rest.jobs.queued_s, org.rest.jobs.running_s = 60.0, 60.0
    begun = probe.page(KEYS, None, 5)
    assert (begun.rows, begun.later) == ((), True)
    waiting = probe.page(KEYS, begun.next, 5)
    assert (waiting.later, waiting.more) == (True, True)
    org.clock.advance(130)
    assert len(rows(probe, after=waiting.next)) == 21


def test_a_running_job_is_not_looked_at_all_the_time(
    org: Salesforce, probe: SalesforceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "FIRST_PAUSE_S", 1e6)
    monkeypatch.setattr(bulk, "LONGEST_PAUSE_S", 0.01)  # how long one call waits
    filled(org)
    begun = probe.page(KEYS, None, 5)
    assert probe.page(KEYS, begun.next, 5).later
    before = len(org.requests)
    for _ in range(3):
        assert probe.page(KEYS, begun.next, 5).later
    assert len(org.requests) == before


def test_closing_ends_the_wait_for_a_job(
    org: Salesforce, probe: SalesforceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "FIRST_PAUSE_S", 1e6)
    filled(org)
    probe.fetch(replace(KEYS, key="Name"), ["A1"])  # its fields are described
    begun = probe.page(KEYS, None, 5)
    found: list[Page] = []
    reader = threading.Thread(target=lambda: found.append(probe.page(KEYS, begun.next, 5)))
    reader.start()
    probe.close()
    reader.join(60)
    assert found[0].later


def test_a_failed_job_is_named_and_the_next_listing_goes_by_pages(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org)
    org.rest.jobs.failing = "InvalidBatch : too many fields"
    lost = failure(lambda: rows(probe))
    assert lost.reason is Reason.CURSOR_LOST
    assert "too many fields" in lost.message
    assert [row[0] for row in rows(probe)] == sorted(ids)


def test_a_job_that_is_gone_is_a_lost_position(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    *_, last = (page for page, _ in zip(pages(probe), range(3), strict=False))
    assert last.next is not None
    org.clock.advance(8 * 86_400)
    probe.close()
    again = opened(org)
    assert failure(lambda: again.page(KEYS, last.next, 5)).reason is Reason.CURSOR_LOST
    again.close()


def test_a_job_of_another_version_is_a_lost_position(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    *_, last = (page for page, _ in zip(pages(probe), range(3), strict=False))
    other = opened(org, api_version="63.0")
    assert failure(lambda: other.page(KEYS, last.next, 5)).reason is Reason.CURSOR_LOST
    other.close()


def test_an_org_that_creates_no_job_is_read_by_pages(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org)
    org.fail(faults.status(400, "FEATURENOTENABLED", "bulk is not enabled"), on="job_create")
    assert [row[0] for row in rows(probe)] == sorted(ids)


def spoilt(change: Callable[[Any], Any]) -> Fault:
    return Fault(name="spoilt", after=change)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Sforce-NumberOfRecords": "7"}, None),
        ({"Sforce-NumberOfRecords": "many"}, None),
        ({"Sforce-NumberOfRecords": "9"}, b"Id\n" + 9 * b"001000000000001AAA\n"),
        ({}, b"Id\n" + 10_000 * b"\n"),
        ({"Sforce-NumberOfRecords": ""}, None),
        ({"Sforce-Locator": ""}, None),
        ({"Sforce-Locator": "null"}, None),
        ({}, b""),
        ({}, b"Name\nx\n"),
        ({}, b'Id\n"001'),
        ({}, b"Id\n\xff\n"),
        ({}, b"Id\na,b\n"),
        ({}, b"<html>"),
    ],
)
def test_a_set_that_is_not_whole_is_an_error(
    org: Salesforce, probe: SalesforceProbe, headers: dict[str, str], body: bytes | None
) -> None:
    filled(org)

    def change(answer: Any) -> Any:
        return replace(answer, headers={**answer.headers, **headers}, body=answer.body if body is None else body)

    org.fail(spoilt(change), on="job_results")
    begun = probe.page(KEYS, None, 5)
    broken = failure(lambda: rows(probe, after=begun.next))
    assert broken.reason is Reason.DECODE
    assert len(rows(probe, after=begun.next)) == 21  # it was a passing fault


def test_a_locator_that_repeats_is_an_error(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    seen: list[str] = []

    def change(answer: Any) -> Any:
        seen.append(answer.headers["Sforce-Locator"])
        return replace(answer, headers={**answer.headers, "Sforce-Locator": seen[0]})

    org.fail(spoilt(change), on="job_results", times=10)
    assert failure(lambda: rows(probe)).reason is Reason.DECODE


def test_results_that_stay_broken_end_the_job(org: Salesforce, probe: SalesforceProbe) -> None:
    ids = filled(org)
    org.fail(spoilt(lambda answer: replace(answer, body=b"<html>")), on="job_results", times=10)
    begun = probe.page(KEYS, None, 5)
    found = [failure(lambda: rows(probe, after=begun.next)).reason for _ in range(3)]
    assert found == [Reason.DECODE, Reason.DECODE, Reason.CURSOR_LOST]
    assert [row[0] for row in rows(probe)] == sorted(ids)


def test_results_without_end_end_the_job(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    org.fail(faults.endless(), on="job_results", times=10)
    begun = probe.page(KEYS, None, 5)
    found = [failure(lambda: rows(probe, after=begun.next)).reason for _ in range(3)]
    assert found == [Reason.TOO_LARGE, Reason.TOO_LARGE, Reason.CURSOR_LOST]


def test_no_content_is_not_an_empty_list(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    org.fail(Fault(name="no content", instead=lambda: Answer(status=204)), on="job_results")
    assert failure(lambda: rows(probe)).reason is Reason.DECODE


@pytest.mark.parametrize("fault", [truncated, cut_off])
def test_a_response_that_breaks_off_is_an_error(
    org: Salesforce, probe: SalesforceProbe, fault: Callable[[], Fault]
) -> None:
    filled(org)
    org.fail(fault(), on="job_results", times=5)
    begun = probe.page(KEYS, None, 5)
    assert failure(lambda: rows(probe, after=begun.next)).reason in {Reason.DECODE, Reason.UNREACHABLE}


def test_a_position_is_read_back_and_another_one_is_not() -> None:
    place = Place(job="750000000000001AAA", begun_at=17, locator="MTAw", before=100, line=7, total=230)
    assert place_of(place.text()) == place
    assert place_of(replace(place, total=None).text()) == replace(place, total=None)
    assert place_of("001000000000001AAA") is None
    assert place_of("bulk x 1 - 0 0 -") is None


def test_a_token_that_is_revoked_on_the_way_is_renewed(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    found: list[Row] = []
    after = None
    for _ in range(20):
        page = probe.page(KEYS, after, 5)
        found += page.rows
        after = page.next
        org.revoke_tokens()
        if after is None:
            break
    assert len(found) == 21


@pytest.mark.parametrize("kind", ["job_create", "job_info", "job_results"])
def test_a_spent_allowance_of_the_org_ends_a_page_and_nothing_else(
    org: Salesforce, probe: SalesforceProbe, kind: str
) -> None:
    filled(org)
    org.fail(faults.limit_exceeded(), on=kind)
    found: list[Row] = []
    after = None
    refused: list[Reason] = []
    for _ in range(20):
        try:
            page = probe.page(KEYS, after, 5)
        except ProbeError as failure:
            refused.append(failure.reason)
            continue
        found += page.rows
        after = page.next
        if after is None:
            break
    assert (len(found), refused) == (21, [Reason.OVER_BUDGET])


def test_every_call_counts(org: Salesforce, probe: SalesforceProbe) -> None:
    filled(org)
    meter = CountingMeter()
    with metered(meter):
        rows(probe)
    assert meter.spent == len(org.requests)
