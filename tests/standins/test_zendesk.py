"""The stand-in of Zendesk against what Zendesk's documentation says; there is no specification to be had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.zendesk import LOGIN, OAUTH_TOKEN, Zendesk

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
THEN = int(NOON.timestamp())


@pytest.fixture
def zendesk() -> Iterator[Zendesk]:
    with Zendesk(clock=Clock(NOON)) as server:
        yield server


@pytest.fixture
def client(zendesk: Zendesk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=zendesk.url, auth=LOGIN, trust_env=False) as client:
        yield client


def test_a_ticket_is_read_by_id(zendesk: Zendesk, client: httpx.Client) -> None:
    one = zendesk.create("tickets", subject="Help", status="open")
    ticket = client.get(f"/api/v2/tickets/{one}.json").json()["ticket"]
    assert (ticket["id"], ticket["status"], ticket["updated_at"]) == (one, "open", "2026-11-20T12:00:00Z")
    missing = client.get("/api/v2/tickets/1")
    assert (missing.status_code, missing.json()["error"]) == (404, "RecordNotFound")


def test_many_are_read_by_id_and_unknown_ones_are_left_out(zendesk: Zendesk, client: httpx.Client) -> None:
    ids = [zendesk.create("users", name=str(at), external_id=f"x{at}") for at in range(3)]
    told = ",".join(map(str, [*reversed(ids), 1]))
    answer = client.get("/api/v2/users/show_many.json", params={"ids": told}).json()
    assert ([each["id"] for each in answer["users"]], answer["count"]) == (ids[::-1], 3)
    external = client.get("/api/v2/users/show_many?external_ids=x2,x9").json()
    assert [each["id"] for each in external["users"]] == ids[2:]
    too_many = ",".join(map(str, range(101)))
    assert client.get("/api/v2/users/show_many", params={"ids": too_many}).status_code == 400


def test_a_list_goes_on_by_cursor(zendesk: Zendesk, client: httpx.Client) -> None:
    made = [zendesk.create("tickets", subject=str(at)) for at in range(5)]
    found: list[int] = []
    address = "/api/v2/tickets.json?page[size]=2"
    while address:
        page = client.get(address).json()
        found += [each["id"] for each in page["tickets"]]
        assert page["meta"]["has_more"] == (page["links"]["next"] is not None)
        address = page["links"]["next"]
    assert found == made
    first = client.get("/api/v2/tickets?page[size]=2").json()
    after = {"page[size]": "2", "page[after]": first["meta"]["after_cursor"]}
    second = client.get("/api/v2/tickets", params=after).json()
    assert [each["id"] for each in second["tickets"]] == made[2:4]
    back = client.get(second["links"]["prev"]).json()
    assert [each["id"] for each in back["tickets"]] == made[:2]


def test_offsets_end_at_ten_thousand(zendesk: Zendesk, client: httpx.Client) -> None:
    for _ in range(3):
        zendesk.create("tickets")
    page = client.get("/api/v2/tickets?per_page=2").json()
    assert (page["count"], len(client.get(page["next_page"]).json()["tickets"])) == (3, 1)
    assert client.get("/api/v2/tickets?page=101").status_code == 400


def exported(client: httpx.Client, of: str, **query: Any) -> Any:
    return client.get(f"/api/v2/incremental/{of}/cursor.json", params=query).json()


def test_an_export_has_what_changed_but_for_the_last_minute(zendesk: Zendesk, client: httpx.Client) -> None:
    old, new = (zendesk.create("tickets", subject=each) for each in ("old", "new"))
    zendesk.clock.advance(100)
    zendesk.update("tickets", new, subject="newer")
    refused = client.get(f"/api/v2/incremental/tickets/cursor?start_time={THEN + 99}")
    assert (refused.status_code, refused.json()["error"]) == (422, "StartTimeTooRecent")
    first = exported(client, "tickets", start_time=THEN)
    assert ([each["id"] for each in first["tickets"]], first["end_of_stream"]) == ([old], True)
    zendesk.clock.advance(61)
    rest = exported(client, "tickets", cursor=first["after_cursor"])
    assert [(each["id"], each["generated_timestamp"]) for each in rest["tickets"]] == [(new, THEN + 100)]
    assert exported(client, "tickets", cursor=rest["after_cursor"])["tickets"] == []


def test_an_export_goes_on_until_its_end(zendesk: Zendesk, client: httpx.Client) -> None:
    made = [zendesk.create("users", name=str(at)) for at in range(5)]
    zendesk.clock.advance(61)
    page = exported(client, "users", start_time=THEN, per_page=2)
    found = [each["id"] for each in page["users"]]
    while not page["end_of_stream"]:
        page = client.get(page["after_url"] + "&per_page=2").json()
        found += [each["id"] for each in page["users"]]
    assert found == made


def test_a_deleted_ticket_is_only_exported_and_a_deleted_user_is_not_active(
    zendesk: Zendesk, client: httpx.Client
) -> None:
    ticket, user = zendesk.create("tickets"), zendesk.create("users", name="Ann")
    zendesk.delete("tickets", ticket)
    zendesk.delete("users", user)
    assert client.get(f"/api/v2/tickets/{ticket}").status_code == 404
    assert client.get(f"/api/v2/users/{user}").json()["user"]["active"] is False
    assert client.get("/api/v2/tickets?page[size]=1").json()["tickets"] == []
    zendesk.clock.advance(61)
    (found,) = exported(client, "tickets", start_time=THEN)["tickets"]
    assert found["status"] == "deleted"


def test_what_the_system_changes_leaves_updated_at(zendesk: Zendesk, client: httpx.Client) -> None:
    one = zendesk.create("tickets", status="solved")
    zendesk.clock.advance(100)
    zendesk.change_silently("tickets", one, status="closed")
    ticket = client.get(f"/api/v2/tickets/{one}").json()["ticket"]
    assert (ticket["status"], ticket["updated_at"]) == ("closed", "2026-11-20T12:00:00Z")
    zendesk.clock.advance(61)
    (found,) = exported(client, "tickets", start_time=THEN + 50)["tickets"]
    assert found["generated_timestamp"] == THEN + 100


def test_limits_stand_in_the_headers_and_say_how_long_to_wait(zendesk: Zendesk, client: httpx.Client) -> None:
    zendesk.everything.most = 2
    answers = [client.get("/api/v2/tickets") for _ in range(3)]
    assert [each.headers.get("ratelimit-remaining") for each in answers[:2]] == ["1", "0"]
    assert (answers[2].status_code, answers[2].headers["Retry-After"]) == (429, "60")
    zendesk.clock.advance(60)
    assert client.get("/api/v2/tickets").headers["X-Rate-Limit-Remaining"] == "1"


def test_an_eleventh_export_within_a_minute_is_refused(zendesk: Zendesk, client: httpx.Client) -> None:
    zendesk.clock.advance(61)
    path = f"/api/v2/incremental/tickets/cursor?start_time={THEN}"
    assert [client.get(path).status_code for _ in range(11)] == [200] * 10 + [429]
    assert client.get("/api/v2/tickets").status_code == 200


def test_both_forms_of_a_login_are_taken_until_they_are_revoked(zendesk: Zendesk) -> None:
    with httpx.Client(base_url=zendesk.url, trust_env=False) as client:
        bearer = {"Authorization": f"Bearer {OAUTH_TOKEN}"}
        assert client.get("/api/v2/tickets", headers=bearer).status_code == 200
        assert client.get("/api/v2/tickets", auth=("auditor@example.com", LOGIN[1])).status_code == 401
        zendesk.revoke()
        assert client.get("/api/v2/tickets", headers=bearer).status_code == 401


@pytest.mark.parametrize(("retry_after", "expected"), [("", "60"), ("9", "9"), (None, None)])
def test_a_limit_can_be_ordered_with_and_without_a_wait(
    zendesk: Zendesk, client: httpx.Client, retry_after: str | None, expected: str | None
) -> None:
    zendesk.fail(faults.refused(429, retry_after), on="list")
    answer = client.get("/api/v2/tickets")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, expected)
