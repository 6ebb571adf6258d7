"""Records of the stand-in's account, beyond what all record probes have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest

from checks.fields import FieldType
from probes.contract import MISSING, Page, ProbeError, ReadSpec, Reason, Row
from probes.exact_json import Undecodable
from probes.records.stripe.probe import StripeProbe
from probes.records.stripe.settings import StripeBinding, StripeSettings
from probes.records.stripe.shapes import COLLECTIONS
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.stripe import SECRET_KEY, Stripe

NOW = datetime.now(UTC).replace(microsecond=0)
SPEC = ReadSpec(
    data_type="customer",
    collection="customers",
    key="id",
    changed_at="event.created",
    fields=("email", "name"),
    marks_records=False,
)


@pytest.fixture
def account() -> Iterator[Stripe]:
    with Stripe(clock=Clock(NOW)) as found:
        found.each_operation = found.everything.most = 1_000
        yield found


def opened(at: Stripe, **words: Any) -> StripeProbe:
    settings = {"kind": "stripe", "url": at.url, "key": SECRET_KEY, "budget": {"timeout": 30}} | words
    return StripeProbe(StripeSettings.model_validate(settings))


@pytest.fixture
def probe(account: Stripe) -> Iterator[StripeProbe]:
    found = opened(account)
    yield found
    found.close()


def spec(collection: str, *fields: str, key: str = "id") -> ReadSpec:
    return replace(SPEC, collection=collection, fields=fields, key=key)


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def one(probe: StripeProbe, wanted: ReadSpec, key: str) -> Any:
    (row,) = probe.fetch(wanted, [key])
    return row[2] if len(row) == 3 else row[2:]


def walked(probe: StripeProbe, wanted: ReadSpec, limit: int) -> list[Row]:
    rows: list[Row] = []
    after = None
    while True:
        page = probe.page(wanted, after, limit)
        rows += page.rows
        after = page.next
        if after is None:
            return rows


def changes(probe: StripeProbe, wanted: ReadSpec, since: datetime, limit: int = 1_000) -> list[Row]:
    rows: list[Row] = []
    page = Page(more=True)
    while page.more:
        page = probe.changed(wanted, since, limit, page.next)
        rows += page.rows
    return rows


# -- by key


def test_reads_every_collection_by_id_and_in_lists(account: Stripe, probe: StripeProbe) -> None:
    for collection in COLLECTIONS.values():
        made = account.create(collection.kind)
        wanted = spec(collection.name, "created", "metadata")
        assert [row[0] for row in probe.fetch(wanted, [made, f"{made}0"])] == [made]
        assert walked(probe, wanted, 10) == [(made, None, NOW, {})]
        assert [row[:2] for row in changes(probe, wanted, NOW)] == [(made, NOW)]
        assert isinstance(probe.inspect(wanted), tuple)


def test_deleted_objects_are_absent_and_canceled_subscriptions_are_not(account: Stripe, probe: StripeProbe) -> None:
    gone, stays = account.create("customer"), account.create("customer")
    ended = account.create("subscription", customer=stays)
    account.delete("customer", gone)
    account.delete("subscription", ended)
    assert [row[0] for row in probe.fetch(SPEC, [gone, stays])] == [stays]
    assert [row[0] for row in walked(probe, SPEC, 10)] == [stays]
    assert [row[0] for row in changes(probe, SPEC, NOW)] == [stays]
    assert walked(probe, spec("subscriptions", "status"), 10) == [(ended, None, "canceled")]
    assert one(probe, spec("subscriptions", "status"), ended) == "canceled"


def test_deletions_are_told_where_the_map_asks_for_them(account: Stripe, probe: StripeProbe) -> None:
    gone, stays = account.create("customer", email="a@x.example"), account.create("customer", email="b@x.example")
    account.clock.advance(5)
    account.delete("customer", gone)
    flagged = replace(SPEC, fields=("email", "deleted"), deleted="deleted")
    rows = [(gone, None, None, True), (stays, None, "b@x.example", False)]
    assert {tuple(row) for row in probe.fetch(flagged, [gone, stays])} == {*rows}
    assert changes(probe, flagged, NOW) == [
        (stays, NOW, "b@x.example", False),
        (gone, NOW + timedelta(seconds=5), None, True),
    ]
    assert probe.page(flagged, None, 10).rows == [rows[1]]
    assert isinstance(probe.inspect(flagged), tuple)


def test_reads_by_a_member_that_narrows_the_list(account: Stripe, probe: StripeProbe) -> None:
    ann, other = account.create("customer", email="ann@x.example"), account.create("customer", email="Ann@x.example")
    invoices = [account.create("invoice", customer=ann, total=at) for at in range(3)]
    account.create("invoice", customer=other)
    by_mail = spec("customers", "id", key="email")
    assert probe.fetch(by_mail, ["nobody@x.example"]) == []
    assert sorted(row[2] for row in probe.fetch(spec("invoices", "id", key="customer"), [ann])) == sorted(invoices)
    with_name = spec("invoices", "customer.email", key="customer")
    assert {row[:3] for row in probe.fetch(with_name, [ann])} == {(ann, None, "ann@x.example")}
    assert account.count("search_customers") == account.count("list_charges") == 0


def test_a_list_that_is_not_narrowed_as_asked_is_an_error(account: Stripe, probe: StripeProbe) -> None:
    account.create("customer", email="ann@x.example")
    # The stand-in compares without case, Stripe does not: another one than asked for is never taken for it.
    assert failure(lambda: probe.fetch(spec("customers", key="email"), ["ANN@x.example"])).reason is Reason.DECODE


def test_a_key_that_nothing_narrows_is_found_by_walking_the_list(account: Stripe, probe: StripeProbe) -> None:
    made = [account.create("customer", name=str(at), metadata={"crm id": f"K{at}"}) for at in range(230)]
    account.create("customer", name="without")
    wanted = spec("customers", "name", "id", key="metadata.crm id")
    assert probe.batch_limit(wanted) == 500
    found = probe.fetch(wanted, ["K7", "K200", "K999"])
    assert sorted(map(tuple, found)) == [("K200", None, "200", made[200]), ("K7", None, "7", made[7])]
    assert (account.count("list_customers"), account.count("search_customers")) == (3, 0)
    assert "walks the whole list" in " ".join(probe.inspect(wanted))


def test_a_list_too_long_for_one_call_is_no_list(account: Stripe) -> None:
    for at in range(150):
        account.create("customer", metadata={"crm": str(at)})
    probe = opened(account, budget={"timeout": 1})
    pages = 0

    def slow(answer: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 2:
            hold.wait(20)
        return answer

    hold = threading.Event()
    account.fail(faults.Fault(name="slow", after=slow), on="list_customers", times=2)
    error = failure(lambda: probe.fetch(spec("customers", key="metadata.crm"), ["1"]))
    hold.set()
    assert error.reason is Reason.QUERY
    assert "100 were read in 1 s, and more follow" in error.message
    probe.close()


@pytest.mark.parametrize("key", ["search", "", ".", ".."])
def test_a_key_that_leads_elsewhere_is_not_asked_for(account: Stripe, probe: StripeProbe, key: str) -> None:
    error = failure(lambda: probe.fetch(SPEC, [key]))
    assert error.of_key
    assert account.calls == []


def test_a_key_stays_within_its_part_of_the_path(account: Stripe, probe: StripeProbe) -> None:
    account.create("customer", id="cus_1")
    assert probe.fetch(SPEC, ["cus_1?x=1", "cus_1/sources", "../customers/cus_1", "cus_1%2F", "ключ"]) == []
    assert {call.operation for call in account.calls} == {"read_customers"}


def test_an_object_of_the_other_mode_is_not_missing(account: Stripe, probe: StripeProbe) -> None:
    told = "No such customer: 'cus_9'; a similar object exists in live mode, but a test mode key was used."
    document = {"error": {"code": "resource_missing", "message": told, "param": "id"}}
    account.fail(faults.Fault(name="mode", instead=lambda: faults.Answer(document=document, status=404)))
    error = failure(lambda: probe.fetch(SPEC, ["cus_9"]))
    assert error.reason is Reason.AUTH
    assert "live mode" in error.hint


def test_a_path_that_is_not_there_is_no_missing_record(account: Stripe, probe: StripeProbe) -> None:
    account.fail(faults.refused(404))
    assert failure(lambda: probe.fetch(SPEC, ["cus_9"])).reason is Reason.QUERY


# -- values


def test_instants_and_amounts_come_as_they_are_meant(account: Stripe, probe: StripeProbe) -> None:
    made = account.create("invoice", total=1250, due_date=int(NOW.timestamp()), metadata={"due_date": "12"})
    wanted = spec("invoices", "total", "due_date", "status_transitions.paid_at", "metadata.due_date", "currency")
    assert one(probe, wanted, made) == (1250, NOW, None, "12", "usd")


@pytest.mark.parametrize(
    ("currency", "amount", "told", "decimal"),
    [
        ("usd", 1250, 1250, "1250.5"),
        ("jpy", 500, 500, "500"),
        ("kwd", 5120, 5120, "5120"),
        ("isk", 500, 5, Decimal(5)),
        ("ugx", 550, Decimal("5.5"), Decimal("5.5")),
        ("mga", 500, 50_000, Decimal(50_000)),
    ],
)
def test_amounts_are_in_the_minor_units_of_iso_4217(
    account: Stripe, probe: StripeProbe, currency: str, amount: int, told: Any, decimal: Any
) -> None:
    written = "1250.5" if currency == "usd" else str(amount)
    made = account.create("price", currency=currency, unit_amount=amount, unit_amount_decimal=written)
    assert one(probe, spec("prices", "unit_amount", "unit_amount_decimal"), made) == (told, decimal)


def test_paths_lead_through_other_objects(account: Stripe, probe: StripeProbe) -> None:
    customer = account.create("customer", email="ann@x.example", metadata={"crm.id": "7"})
    intent = account.create("payment_intent", customer=customer)
    charge = account.create("charge", customer=customer, payment_intent=intent, amount=5)
    wanted = spec("charges", "customer", "payment_intent.customer.email", "customer.metadata.crm.id", "customer.zip")
    row = (customer, "ann@x.example", "7", MISSING)
    assert one(probe, wanted, charge) == row
    calls = account.count()
    assert one(probe, wanted, charge) == row
    assert account.count() == calls + 1  # what has to be expanded is known by now
    assert walked(probe, wanted, 10) == [(charge, None, *row)]
    assert changes(probe, wanted, NOW)[0][2:] == row
    assert one(probe, spec("charges", "customer"), charge) == customer
    account.delete("customer", customer)
    assert one(probe, wanted, charge) == (customer, None, None, None)


def test_a_text_is_no_id_of_another_object(account: Stripe, probe: StripeProbe) -> None:
    made = account.create("customer", email="ann@x.example")
    account.fail(faults.refused(400), on="read_customers", times=0)
    error = failure(lambda: probe.fetch(spec("customers", "email.host"), [made]))
    assert error.reason in {Reason.QUERY, Reason.DECODE}
    assert "expand" in error.message


def test_lists_within_an_object_are_whole_or_cannot_be_verified(account: Stripe, probe: StripeProbe) -> None:
    items = [{"id": f"si_{at}", "quantity": at, "price": {"id": f"price_{at}", "object": "price"}} for at in (1, 2)]
    listed = {"object": "list", "data": items, "has_more": False, "url": "/v1/subscription_items"}
    whole = account.create("subscription", items=listed)
    part = account.create("subscription", items={**listed, "has_more": True})
    wanted = spec("subscriptions", "items.data.price.id", "items.data.1.quantity", "items.data.7.quantity", "items")
    assert one(probe, wanted, whole) == (["price_1", "price_2"], 2, MISSING, listed)
    found = one(probe, wanted, part)
    assert isinstance(found[0], Undecodable)
    assert isinstance(found[3], Undecodable)
    assert found[1] == 2


# -- lists


def test_walks_through_a_list_however_long_its_pages_are(account: Stripe, probe: StripeProbe) -> None:
    made = [account.create("customer") for _ in range(13)][::-1]
    for limit in (1, 2, 3, 6, 12, 13, 100, 1_000):
        assert [row[0] for row in walked(probe, SPEC, limit)] == made, limit


@pytest.mark.parametrize("fault", [faults.repeated_page(), faults.skipped_page()])
def test_a_repeated_or_skipped_page_is_noticed(account: Stripe, probe: StripeProbe, fault: faults.Fault) -> None:
    for _ in range(12):
        account.create("customer")
    first = probe.page(SPEC, None, 3)
    second = probe.page(SPEC, first.next, 3)
    account.fail(fault, on="list_customers")
    error = failure(lambda: probe.page(SPEC, second.next, 3))
    assert error.reason is Reason.DECODE
    assert "one is repeated or missing" in error.message
    assert len(probe.page(SPEC, second.next, 3).rows) == 3


def test_a_list_goes_on_where_its_last_objects_were_deleted(account: Stripe, probe: StripeProbe) -> None:
    made = [account.create("customer") for _ in range(6)][::-1]
    first = probe.page(SPEC, None, 3)
    account.delete("customer", made[2])
    assert [row[0] for row in probe.page(SPEC, first.next, 5).rows] == made[3:]
    account.delete("customer", made[1])
    assert [row[0] for row in probe.page(SPEC, first.next, 5).rows] == made[3:]


def test_a_position_of_somebody_else_is_lost(account: Stripe, probe: StripeProbe) -> None:
    for text in (
        "",
        "7",
        "{}",
        '{"anchor": "cus_unheard", "last": "cus_of"}',
        '{"anchor": 1, "last": 2}',
        "[" * 9_999,
    ):
        assert failure(lambda text=text: probe.page(SPEC, text, 3)).reason is Reason.CURSOR_LOST  # type: ignore[misc]
    for text in ("", "7", "abc:0", "abc:x"):
        call = lambda text=text: probe.changed(SPEC, NOW, 3, text)  # noqa: E731
        assert failure(call).reason is Reason.CURSOR_LOST


@pytest.mark.parametrize(
    "document",
    [
        {"object": "list", "data": []},
        {"object": "list", "data": None, "has_more": False},
        {"object": "list", "data": [{"object": "customer"}], "has_more": False},
        {"object": "list", "data": [{"id": "a", "object": "charge"}], "has_more": False},
        {"object": "list", "data": [{"id": "a", "object": "customer"}] * 2, "has_more": False},
        {"object": "list", "data": [], "has_more": True},
        {"data": [], "has_more": False},
        {"error": {"code": "oops", "message": "broken"}},
        {"object": "list", "data": [], "has_more": False, "error": {"code": "oops", "message": "broken"}},
        [],
        "text",
        None,
    ],
)
def test_what_is_no_list_is_never_an_empty_one(account: Stripe, probe: StripeProbe, document: Any) -> None:
    account.fail(faults.error_with_success(document), times=4)
    assert failure(lambda: probe.page(SPEC, None, 3)).reason is Reason.DECODE
    assert failure(lambda: probe.fetch(spec("customers", key="email"), ["a"])).reason is Reason.DECODE
    assert failure(lambda: probe.fetch(SPEC, ["a"])).reason is Reason.DECODE
    if not isinstance(document, dict) or document.get("data") != [{"id": "a", "object": "charge"}]:
        assert failure(lambda: probe.changed(SPEC, NOW, 3)).reason is Reason.DECODE


# -- changes


def test_each_object_is_answered_once_at_its_latest_event(account: Stripe, probe: StripeProbe) -> None:
    a, b, c = (account.create("customer", name="old") for _ in range(3))
    for seconds, changed in ((1, a), (2, b), (3, a), (5, c), (9, b)):
        account.clock.stand_at(NOW + timedelta(seconds=seconds))
        account.update("customer", changed, name=f"at {seconds}")
    account.create("product")
    found = changes(probe, SPEC, NOW + timedelta(seconds=1))
    assert [(row[0], row[1], row[3]) for row in found] == [
        (a, NOW + timedelta(seconds=3), "at 3"),
        (c, NOW + timedelta(seconds=5), "at 5"),
        (b, NOW + timedelta(seconds=9), "at 9"),
    ]
    assert [row[0] for row in changes(probe, SPEC, NOW + timedelta(seconds=5))] == [c, b]
    assert account.count("events") == 4  # and not one more for what nothing happened to


def test_changes_come_oldest_first_over_many_pages_of_events(account: Stripe, probe: StripeProbe) -> None:
    made = []
    for at in range(130):
        account.clock.stand_at(NOW + timedelta(seconds=at))
        made.append(account.create("customer"))
    for at in range(130):
        account.clock.stand_at(NOW + timedelta(seconds=200 + at))
        account.update("customer", made[at], name="new")
    assert [row[0] for row in changes(probe, SPEC, NOW, limit=7)] == made
    page = probe.changed(SPEC, NOW, 3)
    assert [row[0] for row in page.rows] == made[:3]
    assert page.more


def test_what_happens_while_changes_are_read_is_left_for_the_next_look(account: Stripe, probe: StripeProbe) -> None:
    a, b = account.create("customer"), account.create("customer")

    def meanwhile(answer: Any) -> Any:
        account.update("customer", a, name="later")
        return answer

    account.fail(faults.Fault(name="meanwhile", after=meanwhile), on="read_customers")
    assert [row[0] for row in changes(probe, SPEC, NOW)] == [b]
    assert [(row[0], row[3]) for row in changes(probe, SPEC, NOW)] == sorted([(a, "later"), (b, None)])


def test_a_walk_through_events_that_was_cut_short_is_gone_on_with(account: Stripe) -> None:
    for _ in range(250):
        account.create("customer")
    probe = opened(account, budget={"timeout": 30})
    probe._changes.gather = lambda plan, _, of=probe._changes.gather: of(plan, float("inf"))  # type: ignore[method-assign,misc]
    first = probe.changed(SPEC, NOW, 10)
    assert (list(first.rows), first.more, account.count("events")) == ([], True, 1)
    again = probe.changed(SPEC, NOW, 10)  # the next audit, which knows nothing of the first
    assert again.next == first.next
    rows: list[Row] = []
    page: Page = again
    while page.more:
        page = probe.changed(SPEC, NOW, 1_000, page.next)
        rows += page.rows
    assert len({row[0] for row in rows}) == len(rows) == 250
    probe.close()


def test_events_lead_to_the_objects_that_they_are_about(account: Stripe, probe: StripeProbe) -> None:
    charge = account.create("charge", amount=500)
    account.clock.advance(60)
    since = NOW + timedelta(seconds=60)
    account.create("refund", charge=charge, amount=100)
    account.happen("invoice.upcoming", {"object": "invoice", "customer": "cus_1"})
    account.happen("invoice.updated", {"object": "invoice", "customer": "cus_1"})
    assert [row[0] for row in changes(probe, spec("charges"), since)] == [charge]
    assert changes(probe, spec("invoices"), since) == []


def test_says_from_when_on_it_knows_of_changes(account: Stripe, probe: StripeProbe) -> None:
    account.create("customer")
    account.clock.advance(10 * 86_400)
    account.create("customer")
    account.clock.advance(22 * 86_400)
    page = probe.changed(SPEC, NOW - timedelta(days=1), 10)
    assert len(page.rows) == 1
    assert page.told_from is not None
    assert timedelta(days=29) < datetime.now(UTC) - page.told_from < timedelta(days=31)


def test_an_event_that_is_none_is_an_error(account: Stripe, probe: StripeProbe) -> None:
    account.create("customer")
    for names in ({"data": None}, {"created": None}, {"object": "kind"}):
        account.fail(faults.renamed(names), on="events")
        assert failure(lambda: probe.changed(SPEC, NOW, 10)).reason is Reason.DECODE
    assert failure(lambda: probe.changed(replace(SPEC, changed_at="created"), NOW, 10)).reason is Reason.QUERY
    assert failure(lambda: probe.changed(SPEC, 7, 10)).reason is Reason.QUERY


@pytest.mark.parametrize("fault", [faults.repeated_page(), faults.skipped_page()])
def test_a_page_of_events_that_comes_twice_or_is_skipped_is_noticed(
    account: Stripe, probe: StripeProbe, fault: faults.Fault
) -> None:
    for _ in range(420):
        account.create("customer")
    account.fail(faults.Fault(name="none"), on="events", times=2)
    account.fail(fault, on="events")
    error = failure(lambda: probe.changed(SPEC, NOW, 10))
    assert error.reason is Reason.DECODE
    assert "one is repeated or missing" in error.message


# -- errors


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (400, Reason.QUERY, "invalid_request_error"),
        (401, Reason.AUTH, "Invalid API Key provided: the key"),
        (403, Reason.PERMISSION, "required permissions"),
        (404, Reason.QUERY, "Unrecognized request URL"),
        (409, Reason.OVER_BUDGET, "lock_timeout"),
        (429, Reason.OVER_BUDGET, "rate_limit"),
        (500, Reason.UNREACHABLE, "api_error"),
        (503, Reason.UNREACHABLE, "api_error"),
    ],
)
def test_refusals_are_named(account: Stripe, probe: StripeProbe, status: int, reason: Reason, told: str) -> None:
    account.fail(faults.refused(status), times=3)
    for call in (
        lambda: probe.fetch(SPEC, ["cus_1"]),
        lambda: probe.page(SPEC, None, 2),
        lambda: probe.changed(SPEC, NOW, 2),
    ):
        error = failure(call)
        assert error.reason is reason
        assert told in error.message
        assert "sk_test" not in str(error)
        assert (error.retry_after_s is not None) == (reason is Reason.OVER_BUDGET)


def test_a_limit_is_named_with_its_reason_and_the_request(account: Stripe, probe: StripeProbe) -> None:
    account.each_operation = 0
    error = failure(lambda: probe.page(SPEC, None, 2))
    assert "this endpoint" in error.hint
    assert "rate_limit (req_" in error.message
    assert error.retry_after_s == 1
    account.fail(faults.refused(429, retry_after="7"), on="list_customers")
    assert failure(lambda: probe.page(SPEC, None, 2)).retry_after_s == 7


def test_a_revoked_key_and_a_missing_right_are_told_apart(account: Stripe, probe: StripeProbe) -> None:
    account.refused_paths.add("customers")
    assert failure(lambda: probe.fetch(SPEC, ["cus_1"])).reason is Reason.PERMISSION
    assert "restricted key" in failure(lambda: probe.inspect(SPEC)).hint
    assert [each.name for each in probe.collections()] == [name for name in COLLECTIONS if name != "customers"]
    account.refused_paths.add("events")
    assert "changes are found by events" in failure(probe.collections).message
    account.refused_paths.clear()
    account.revoke()
    assert failure(lambda: probe.fetch(SPEC, ["cus_1"])).reason is Reason.AUTH


@pytest.mark.parametrize(
    "fault",
    [faults.page_of_a_proxy(), faults.truncated(), faults.cut_off(), faults.endless(), faults.renamed({"id": "key"})],
    ids=lambda fault: fault.name,
)
def test_a_broken_answer_is_an_error(account: Stripe, fault: faults.Fault) -> None:
    made = account.create("customer")
    probe = opened(account, retries=0)
    for call in (
        lambda: probe.fetch(SPEC, [made]),
        lambda: probe.page(SPEC, None, 2),
        lambda: probe.changed(SPEC, NOW, 2),
    ):
        account.fail(fault)
        assert failure(call).reason in {Reason.DECODE, Reason.UNREACHABLE, Reason.TOO_LARGE, Reason.TIMEOUT}
    probe.close()


def test_another_version_than_asked_for_is_an_error(account: Stripe) -> None:
    probe = opened(account, api_version="2025-03-31.basil")
    made = account.create("customer")
    assert "Invalid Stripe API version" in failure(lambda: probe.fetch(SPEC, [made])).message
    account.known_versions.add("2025-03-31.basil")
    assert probe.fetch(SPEC, [made])
    sent = account.calls[-1].request.headers
    assert sent["stripe-version"] == "2025-03-31.basil"
    other = faults.Fault(
        name="v", instead=lambda: faults.Answer(document={}, headers={"Stripe-Version": "2020-08-27"})
    )
    account.fail(other)
    assert "version 2020-08-27" in failure(lambda: probe.fetch(SPEC, [made])).message
    probe.close()


def test_a_connected_account_is_named_in_each_request(account: Stripe) -> None:
    probe = opened(account, account="acct_123")
    probe.page(SPEC, None, 2)
    assert account.calls[-1].request.headers["stripe-account"] == "acct_123"
    probe.close()


def test_only_reads_are_sent(account: Stripe, probe: StripeProbe) -> None:
    made = account.create("customer", email="a@x.example")
    probe.inspect(SPEC)
    probe.fetch(SPEC, [made])
    probe.fetch(spec("customers", key="email"), ["a@x.example"])
    probe.collections()
    changes(probe, SPEC, NOW)
    probe.clock()
    assert {call.request.method for call in account.calls} == {"GET"}
    assert not any("search" in call.operation for call in account.calls)
    assert "authorization" not in account.calls[-1].request.headers
    transport = probe._session._transport
    for method, target in (("POST", "/v1/customers"), ("DELETE", "/v1/customers/a"), ("GET", "/v1/accounts")):
        assert failure(lambda m=method, t=target: transport.ask(m, t)).reason is Reason.QUERY  # type: ignore[misc]
    assert probe.prove_read_only(SPEC) == "only GET is ever sent; the key is not restricted"
    assert "create one with read permission" in " ".join(probe.inspect(SPEC))


def test_a_clock_that_jumps_is_seen(account: Stripe, probe: StripeProbe) -> None:
    assert probe.clock().server_at == NOW
    account.clock.advance(-3_600)
    assert probe.clock().server_at == NOW - timedelta(hours=1)


# -- what it says of itself


def test_says_which_fields_no_record_has(account: Stripe, probe: StripeProbe) -> None:
    assert "did you mean 'total'" in failure(lambda: probe.inspect(spec("invoices", "totl"))).message
    account.create("invoice", metadata={"crm_id": "1"})
    remarks = " ".join(probe.inspect(spec("invoices", "metadata.crmid", "status_transitions.paidat", "total")))
    assert "metadata.crmid is missing in all 1 invoices of a sample" in remarks
    assert "status_transitions.paidat" in remarks
    assert "total is missing" not in remarks


def test_describes_collections_with_the_keys_of_their_metadata(account: Stripe, probe: StripeProbe) -> None:
    account.create("customer", metadata={"crm_id": "1", "odd[key": "2"})
    found = {each.name: {field.name: field for field in each.fields} for each in probe.collections()}
    assert [*found] == [*COLLECTIONS]
    assert found["customers"]["id"].unique
    assert found["customers"]["metadata.crm_id"].type == "string"
    assert "metadata.odd[key" not in found["customers"]
    assert found["invoices"]["due_date"].type == "timestamp"
    assert not {"client_secret", "object"} & {*found["payment_intents"]}
    types = {field.type for fields in found.values() for field in fields.values()}
    assert types <= {*get_args(FieldType)}
    for name, fields in found.items():
        StripeBinding.model_validate({"collection": name, "key": "id", "fields": {each: each for each in fields}})
        probe.page(spec(name, *fields), None, 2)


def test_keys_that_may_be_written_in_several_ways_are_found_in_the_whole_list(
    account: Stripe, probe: StripeProbe
) -> None:
    ann, other = (account.create("customer", email=each) for each in ("Ann@x.example", "ANN@X.EXAMPLE"))
    account.create("customer", email="bob@x.example", phone="030 12 34 56")
    by_mail = replace(spec("customers", "id", key="email"), key_type="caseless")
    found = probe.fetch(by_mail, ["ann@x.example", "nobody@x.example"])
    assert sorted((row[0], row[2]) for row in found) == [("ANN@X.EXAMPLE", other), ("Ann@x.example", ann)]
    by_phone = replace(spec("customers", key="phone"), key_type="phone", key_region="DE")
    assert [row[0] for row in probe.fetch(by_phone, ["+4930123456"])] == ["030 12 34 56"]
    assert any("walks the whole list" in each and "key_written: lower" in each for each in probe.inspect(by_mail))
