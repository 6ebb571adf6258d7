"""One record: its copies side by side, their history, and links into the systems."""

from __future__ import annotations

from datetime import timedelta

from tests.auditor.dashboard.page_runs import drift, run, table_with, text
from tests.stand import Stand


def test_record_shows_the_copies_and_their_history(watched: Stand) -> None:
    drift(watched)
    app = run("record", type="customer", key="3")
    assert "differs" in text(app)
    assert "Divergences" in text(app)
    table = app.table[0].value
    assert list(table.loc["name"]) == ["Ada", "≠ Eve"]


def test_an_incident_that_came_back_is_shown_since_then(watched: Stand) -> None:
    drift(watched)
    back_at = watched.clock.now() + timedelta(minutes=5)
    with watched.ledger.write() as transaction:
        watched.ledger.incidents.save(transaction, 1, {"reopened_at": back_at})
    (since,) = table_with(run("record", type="customer", key="3"), "since")["since"]
    assert abs(since - back_at) < timedelta(milliseconds=1)


def test_record_refuses_what_is_no_key(watched: Stand) -> None:
    assert "not a valid key of customer" in text(run("record", type="customer", key="abc"))


def test_a_key_cannot_change_where_the_link_to_its_system_leads(watched: Stand) -> None:
    watched.remap("crm: {kind: sql, ", 'crm: {kind: sql, link: "https://crm.example/customers/{key}?tab=1", ')
    watched.remap("key_type: integer", "key_type: string")
    app = run("record", type="customer", key="../admin?x=1#y")
    assert not app.exception
    (link,) = app.get("link_button")
    assert link.proto.url == "https://crm.example/customers/..%2Fadmin%3Fx%3D1%23y?tab=1"
    assert link.proto.label == "Open in crm"


def test_the_picture_of_a_record_has_links_into_the_systems(watched: Stand) -> None:
    watched.remap("billing: {collection: ", 'billing: {link: "https://billing.example/{key}?a=1&b=2", collection: ')
    drift(watched)
    app = run("record", type="customer", key="3")
    assert ":material/open_in_new: Open in [billing](<https://billing.example/3?a=1&amp;b=2>)" in text(app)
