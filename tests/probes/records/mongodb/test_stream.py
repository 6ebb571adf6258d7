"""Changes by MongoDB's change streams, against our stand-in: FerretDB has none."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId, Timestamp
from pydantic import ValidationError

from probes.contract import Page, ProbeError, ReadSpec, Reason
from probes.metering import SpentError, metered
from probes.records.mongodb.driver import opens_stream
from probes.records.mongodb.probe import MongoDbProbe
from probes.records.mongodb.settings import MongoDbBinding, MongoDbSettings
from tests.probes.meters import CountingMeter
from tests.standins.mongodb import Fault, MongoServer
from tests.waiting import wait_until

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def settings(url: str, **words: Any) -> MongoDbSettings:
    return MongoDbSettings.model_validate({"kind": "mongodb", "url": url, "budget": {"timeout": 60}, **words})


def binding(**words: Any) -> MongoDbBinding:
    return MongoDbBinding.model_validate({"collection": "things", "key": "_id", "changes": "stream", **words})


def spec(**words: Any) -> ReadSpec:
    return binding(**words).spec("thing", ["n"], zone=None, key_type="integer")


STAMPED = spec(changed_at="at")
UNSTAMPED = spec()


@pytest.fixture
def server() -> Iterator[MongoServer]:
    made = MongoServer()
    for number in range(5):
        at = AT + number * SECOND
        made.write("things", "insert", {"_id": number, "n": number, "at": at}, at)
    yield made
    made.close()


@pytest.fixture
def probe(server: MongoServer) -> Iterator[MongoDbProbe]:
    opened = MongoDbProbe(settings(server.url))
    yield opened
    opened.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def keys(page: Page) -> list[Any]:
    return [row[0] for row in page.rows]


# -- what changed


def test_changed_records_are_read_by_id_and_have_the_time_of_their_event(
    server: MongoServer, probe: MongoDbProbe
) -> None:
    page = probe.changed(STAMPED, AT + 3 * SECOND, 10)
    assert page.rows == [(3, AT + 3 * SECOND, 3), (4, AT + 4 * SECOND, 4)]
    assert (page.next, page.more, page.absent, page.told_from) == (None, False, [], None)


def test_a_change_that_leaves_the_stamp_is_dated_by_its_event(server: MongoServer, probe: MongoDbProbe) -> None:
    server.write("things", "update", {"_id": 1, "n": 99}, AT + timedelta(hours=2))
    page = probe.changed(STAMPED, AT + timedelta(hours=1), 10)
    assert page.rows == [(1, AT + timedelta(hours=2), 99)]
    assert probe.fetch(STAMPED, [1]) == [(1, None, 99)]


def test_a_record_is_returned_once_in_the_order_of_its_latest_event(server: MongoServer, probe: MongoDbProbe) -> None:
    for number in (2, 1, 3, 2):
        server.write("things", "update", {"_id": number, "n": 0})
    assert keys(probe.changed(STAMPED, AT + timedelta(hours=1), 10)) == [1, 3, 2]
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 4, 1, 3, 2]


def test_the_keys_of_deleted_records_are_returned(server: MongoServer, probe: MongoDbProbe) -> None:
    server.write("things", "delete", {"_id": 2})
    page = probe.changed(STAMPED, AT + timedelta(hours=1), 10)
    assert (page.rows, page.absent) == ([], [2])
    other = probe.changed(spec(key="n", changed_at="at"), AT + timedelta(hours=1), 10)
    assert (other.rows, other.absent) == ([], []), "an event holds no field but _id and the shard key"
    server.write("things", "insert", {"_id": 2, "n": 7})
    assert probe.changed(STAMPED, AT + timedelta(hours=1), 10).absent == []


def test_deleted_parts_of_a_key_are_returned_together(server: MongoServer, probe: MongoDbProbe) -> None:
    identity = {"tenant": 1, "code": ObjectId("5" * 24)}
    server.write("things", "insert", {"_id": identity})
    server.write("things", "delete", {"_id": identity})
    read = spec(key=["_id.tenant", "_id.code"], changed_at="at")
    assert probe.changed(read, AT + timedelta(hours=1), 10).absent == [(1, "5" * 24)]


def test_the_time_of_an_event_is_that_of_the_server_in_milliseconds(server: MongoServer, probe: MongoDbProbe) -> None:
    assert (UNSTAMPED.marks_records, UNSTAMPED.finds_changes) == (False, True)
    server.write("things", "update", {"_id": 1, "n": 9}, AT + timedelta(seconds=60, milliseconds=250))
    assert probe.changed(UNSTAMPED, AT + 30 * SECOND, 10).rows == [(1, AT + timedelta(seconds=60.25), 9)]
    server.oplog.wall_times = False
    assert probe.changed(UNSTAMPED, AT + 30 * SECOND, 10).rows == [(1, AT + 60 * SECOND, 9)]
    assert probe.fetch(UNSTAMPED, [1]) == [(1, None, 9)]
    assert probe.page(UNSTAMPED, None, 2).rows == [(0, None, 0), (1, None, 9)]


# -- how far


def test_a_stream_is_read_page_by_page_with_its_resume_token(server: MongoServer, probe: MongoDbProbe) -> None:
    pages = [probe.changed(STAMPED, AT, 2)]
    while pages[-1].next is not None:
        pages.append(probe.changed(STAMPED, AT, 2, pages[-1].next))
    assert [keys(page) for page in pages] == [[0, 1], [2, 3], [4]]
    assert [page.more for page in pages] == [True, True, False]
    assert [page.reached_at for page in pages[:2]] == [AT + SECOND, AT + 3 * SECOND]


def test_the_present_is_reached_although_nothing_changes(server: MongoServer, probe: MongoDbProbe) -> None:
    begun_at = datetime.now(UTC).replace(microsecond=0)
    page = probe.changed(STAMPED, AT + timedelta(hours=1), 10)
    assert (page.rows, page.behind_s) == ([], 0.0)
    assert page.reached_at is not None
    assert page.reached_at >= begun_at
    assert server.calls["aggregate"] == 1


def test_operations_on_other_collections_are_read_past(server: MongoServer, probe: MongoDbProbe) -> None:
    for number in range(20):
        server.write("others", "insert", {"_id": number}, AT + timedelta(seconds=30 + number))
    server.write("things", "update", {"_id": 4, "n": 0}, AT + 90 * SECOND)
    server.oplog.scanned_at_once = 3
    page = probe.changed(STAMPED, AT + 10 * SECOND, 10)
    assert (keys(page), page.more) == ([4], False)
    assert server.calls["getMore"] > 5


def test_what_an_idle_shard_holds_back_is_reported(server: MongoServer, probe: MongoDbProbe) -> None:
    server.oplog.behind_s = 8
    page = probe.changed(STAMPED, AT, 10)
    assert (keys(page), page.more) == ([0, 1, 2, 3, 4], False)
    assert 7 <= page.behind_s <= 60
    assert page.reached_at is not None
    assert page.reached_at < datetime.now(UTC) - 7 * SECOND


@pytest.mark.parametrize("token", [{}, {"postBatchResumeToken": {"_data": b"82"}}, {"postBatchResumeToken": {}}])
def test_a_token_that_does_not_show_its_time_is_an_error(
    server: MongoServer, probe: MongoDbProbe, token: dict[str, Any]
) -> None:
    for command, batch in (("aggregate", "firstBatch"), ("getMore", "nextBatch")):
        cursor = {"id": bson.Int64(7), "ns": "shop.things", batch: [], **token}
        reply = {"ok": 1.0, "cursor": cursor, "operationTime": Timestamp(2**31, 1)}
        server.faults[command] = Fault(reply=reply)
    assert failure(lambda: probe.changed(STAMPED, AT, 10)).reason is Reason.DECODE


# -- what is lost


def test_a_start_beyond_the_oplog_falls_back_to_the_stamp(server: MongoServer, probe: MongoDbProbe) -> None:
    server.oplog.roll(AT + timedelta(hours=1))
    begun_at = datetime.now(UTC).replace(microsecond=0)
    first = probe.changed(STAMPED, AT + 2 * SECOND, 2)
    assert (keys(first), first.reached_at) == ([2, 3], None)
    assert first.rows[0][1] == AT + 2 * SECOND
    whole = probe.changed(STAMPED, AT + 2 * SECOND, 10)
    assert (keys(whole), whole.more, whole.told_from) == ([2, 3, 4], False, None)
    assert whole.reached_at is not None
    assert whole.reached_at >= begun_at
    server.write("things", "update", {"_id": 0, "n": 9})
    assert keys(probe.changed(STAMPED, whole.reached_at, 10)) == [0], "the stream goes on from there"


def test_a_lost_token_falls_back_to_the_stamp_from_the_beginning(server: MongoServer, probe: MongoDbProbe) -> None:
    first = probe.changed(STAMPED, AT, 2)
    server.oplog.roll(AT + timedelta(hours=1))
    assert keys(probe.changed(STAMPED, AT, 10, first.next)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("code", [136, 260, 280, 286])
def test_each_error_of_a_lost_position_falls_back(server: MongoServer, probe: MongoDbProbe, code: int) -> None:
    server.faults["aggregate"] = Fault(code=code, message="cannot resume")
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]


def test_pages_by_the_stamp_end_where_the_stream_can_go_on(
    server: MongoServer, probe: MongoDbProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.oplog.roll(AT + timedelta(hours=1))
    monkeypatch.setattr("probes.records.mongodb.session.FETCHED_LIMIT_BYTES", 1)  # every batch is a page
    monkeypatch.setattr("probes.records.mongodb.session.ROWS_AT_ONCE", 2)
    pages = [probe.changed(STAMPED, AT, 10)]
    while pages[-1].next is not None:
        pages.append(probe.changed(STAMPED, AT, 10, pages[-1].next))
    assert [key for page in pages for key in keys(page)] == [0, 1, 2, 3, 4]
    assert len(pages) > 1
    assert [page.reached_at is None for page in pages] == [True] * (len(pages) - 1) + [False]


def test_without_a_stamp_what_is_lost_is_reported(server: MongoServer, probe: MongoDbProbe) -> None:
    server.oplog.roll(AT + timedelta(hours=1))
    page = probe.changed(UNSTAMPED, AT, 10)
    assert page.rows == ()
    assert page.told_from is not None
    assert page.told_from == page.reached_at
    assert page.told_from > AT + timedelta(hours=1)


def test_a_dropped_collection_falls_back_to_the_stamp(server: MongoServer, probe: MongoDbProbe) -> None:
    server.write("things", "drop", {})
    server.write("things", "insert", {"_id": 7, "n": 7, "at": AT + timedelta(hours=2)})
    assert keys(probe.changed(STAMPED, AT + timedelta(hours=1), 10)) == [7]


def test_a_collection_that_does_not_exist_is_an_error(server: MongoServer, probe: MongoDbProbe) -> None:
    missing = spec(collection="thing", changed_at="at")
    assert "did you mean 'things'" in failure(lambda: probe.changed(missing, AT, 10)).message


def test_a_cursor_of_another_feed_is_lost(probe: MongoDbProbe) -> None:
    plain = MongoDbBinding.model_validate({"collection": "things", "key": "_id", "changed_at": "at"})
    assert failure(lambda: probe.changed(STAMPED, AT, 10, "17")).reason is Reason.CURSOR_LOST
    page = probe.changed(STAMPED, AT, 2)
    other = plain.spec("thing", ["n"], zone=None)
    assert failure(lambda: probe.changed(other, AT, 10, page.next)).reason is Reason.CURSOR_LOST


# -- servers that fail or lie


def test_events_that_come_again_are_an_error(server: MongoServer, probe: MongoDbProbe) -> None:
    server.oplog.scanned_at_once = 3
    page = probe.changed(STAMPED, AT, 2)
    server.oplog.repeats = True
    error = failure(lambda: probe.changed(STAMPED, AT, 10, page.next))
    assert (error.reason, "again" in error.message) == (Reason.DECODE, True)


@pytest.mark.parametrize(
    "event",
    [
        {"operationType": "update", "documentKey": {"_id": 1}},
        {"operationType": "update", "clusterTime": Timestamp(2**31, 1)},
        {"operationType": "update", "clusterTime": Timestamp(2**31, 1), "documentKey": {"id": 1}},
    ],
)
def test_an_event_without_its_parts_is_an_error(
    server: MongoServer, probe: MongoDbProbe, event: dict[str, Any]
) -> None:
    cursor = {"id": bson.Int64(0), "ns": "shop.things", "firstBatch": [{"_id": {"_data": "x"}, **event}]}
    server.faults["aggregate"] = Fault(reply={"ok": 1.0, "cursor": cursor, "operationTime": Timestamp(1, 1)})
    assert failure(lambda: probe.changed(STAMPED, AT, 10)).reason is Reason.DECODE


def test_other_events_are_passed_over(server: MongoServer, probe: MongoDbProbe) -> None:
    server.oplog.append("things", "createIndexes", AT + 6 * SECOND)
    assert keys(probe.changed(STAMPED, AT + 5 * SECOND, 10)) == []


def test_a_connection_that_breaks_is_tried_again(server: MongoServer, probe: MongoDbProbe) -> None:
    server.faults["aggregate"] = [Fault(raw=None)]
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]
    server.faults["getMore"] = Fault(raw=None)
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4], "the driver opens the stream after the last event"
    server.faults["aggregate"] = Fault(raw=None)
    assert failure(lambda: probe.changed(STAMPED, AT, 10)).reason is Reason.UNREACHABLE


def test_a_read_spends_a_call_for_each_command(server: MongoServer, probe: MongoDbProbe) -> None:
    probe.changed(STAMPED, AT, 10)
    server.asked.clear()
    meter = CountingMeter()
    with metered(meter):
        probe.changed(STAMPED, AT, 10)
    assert meter.spent == server.calls.total()


def test_a_budget_that_is_spent_on_the_way_ends_the_reading(server: MongoServer, probe: MongoDbProbe) -> None:
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]
    for calls in range(2):
        with metered(CountingMeter(calls)), pytest.raises(SpentError):
            probe.changed(STAMPED, AT, 10)
    with metered(CountingMeter(9)):
        assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("command", ["aggregate", "getMore"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(code=13, message="not authorized on shop to execute command"), Reason.PERMISSION),
        (Fault(code=50, message="operation exceeded time limit"), Reason.TIMEOUT),
        (Fault(code=16500, message="too many", details={"RetryAfterMs": 7000}), Reason.OVER_BUDGET),
        (Fault(raw=struct.pack("<iiii", 30_000_000, 1, 1, 2013) + bytes(100)), Reason.TOO_LARGE),
        (Fault(raw=b"HTTP/1.1 200 OK\r\n\r\n<html>" * 10), Reason.DECODE),
        (Fault(reply={"ok": 1.0}), Reason.DECODE),
        (Fault(reply={"ok": 1.0, "cursor": {"id": 0, "ns": "shop.things"}}), Reason.DECODE),
    ],
    ids=lambda each: None if isinstance(each, Fault) else str(each),
)
def test_every_failure_has_a_name(server: MongoServer, command: str, fault: Fault, reason: Reason) -> None:
    opened = MongoDbProbe(settings(server.url))
    opened.fetch(STAMPED, [1])
    server.faults[command] = fault
    assert failure(lambda: opened.changed(STAMPED, AT, 10)).reason is reason
    opened.close()


@pytest.mark.parametrize("command", ["aggregate", "getMore"])
def test_a_server_that_hangs_is_given_up_on_at_the_deadline(server: MongoServer, command: str) -> None:
    opened = MongoDbProbe(settings(server.url, budget={"timeout": 1}))

    def connected() -> bool:
        with contextlib.suppress(ProbeError):  # a slow machine
            return len(opened.fetch(STAMPED, [1])) == 1
        return False

    wait_until(connected)
    server.faults[command] = Fault(hang=True)
    assert failure(lambda: opened.changed(STAMPED, AT, 10)).reason is Reason.TIMEOUT
    opened.close()


# -- what is needed


def test_the_doctor_opens_a_stream(server: MongoServer, probe: MongoDbProbe) -> None:
    assert not any("oplog" in remark for remark in probe.inspect(STAMPED))
    assert server.calls["aggregate"] == 1
    assert any("only by the sweep" in remark for remark in probe.inspect(UNSTAMPED))
    server.hello["maxWireVersion"] = 13
    assert any("clock_slack" in remark for remark in probe.inspect(UNSTAMPED))
    server.faults["aggregate"] = Fault(code=13, message="not authorized on shop to execute command")
    assert failure(lambda: probe.inspect(STAMPED)).reason is Reason.PERMISSION


def test_the_doctor_reports_a_server_without_a_replica_set(server: MongoServer) -> None:
    server.standalone = True
    probe = MongoDbProbe(settings(f"mongodb://127.0.0.1:{server.port}/shop"))
    error = failure(lambda: probe.inspect(STAMPED))
    assert (error.reason, "replica set" in error.message) == (Reason.QUERY, True)
    assert failure(lambda: probe.changed(STAMPED, AT, 10)).reason is Reason.QUERY
    probe.close()


def test_a_sharded_cluster_has_streams(server: MongoServer) -> None:
    server.routes = True
    probe = MongoDbProbe(settings(f"mongodb://127.0.0.1:{server.port}/shop"))
    assert probe.inspect(STAMPED) is not None
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]
    probe.close()


def test_the_majority_is_read_whatever_the_map_says(server: MongoServer) -> None:
    probe = MongoDbProbe(settings(server.url, read_concern="local"))
    assert keys(probe.changed(STAMPED, AT, 10)) == [0, 1, 2, 3, 4]
    probe.close()


def test_a_stream_starts_at_an_instant_and_never_at_a_version() -> None:
    with pytest.raises(ValidationError, match="leave version out"):
        binding(version="n")
    assert not binding(changed_at="at").marks_records
    assert "changes" not in MongoDbBinding.model_validate({"collection": "things", "key": "_id"}).options()


# -- nothing is written


def message(pipeline: list[Any], after: bytes = b"") -> bytes:
    body = bytes(4) + b"\0" + bson.encode({"aggregate": "things", "pipeline": pipeline, "cursor": {}}) + after
    return (16 + len(body)).to_bytes(4, "little") + bytes(8) + (2013).to_bytes(4, "little") + body


def test_only_an_aggregation_that_opens_a_stream_is_sent(server: MongoServer, probe: MongoDbProbe) -> None:
    opens: dict[str, Any] = {"$changeStream": {}}
    project: dict[str, Any] = {"$project": {"documentKey": 1}}
    assert opens_stream(message([opens, project]))
    for pipeline in (
        [],
        [project],
        [opens],
        [opens, {"$out": "other"}],
        [opens, project, {"$merge": "other"}],
        [{**opens, "$out": "other"}, project],
        [opens, {"$project": {"documentKey": {"$function": {}}}}],
        [opens, {"$project": 1}],
        [opens, 1],
    ):
        assert not opens_stream(message(pipeline))
    assert not opens_stream(message([opens, project], b"\x01documents"))
    assert not opens_stream(message([opens, project])[:-1])
    database = probe._session.database
    refusal = failure(lambda: probe._session.run(lambda: list(database["things"].aggregate([{"$out": "other"}]))))
    assert refusal.reason is Reason.PERMISSION
    assert server.calls["aggregate"] == 0
