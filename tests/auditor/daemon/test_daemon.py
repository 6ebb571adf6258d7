"""The daemon: its rhythm, its independence of hung systems, its stop, and its death."""

from __future__ import annotations

import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from auditor.daemon.daemon import THREADS, Daemon
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from tests.auditor.senders.receivers import SECRET, FakeSlack, receiver
from tests.daemons import running
from tests.http_api import Response
from tests.proxy import Proxy
from tests.servers import free_port
from tests.stand import MAP, Stand
from tests.waiting import PATIENCE_S, wait_until


def test_audits_in_rhythm_and_stops_cleanly(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', 'no')")
    stand.run("billing", "INSERT INTO letters VALUES (2, 4, '2026-03-01 00:00:00', 'no')")
    before = stand.count("probe_runs")
    daemon = Daemon(stand.map, Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    wait_until(lambda: stand.count("probe_runs") >= before + 3 and stand.count("backlogs"))
    daemon.stop()
    assert_over(daemon)
    assert [row["key"] for row in stand.rows("dead_letters")] == ["3", "4"]
    assert [row["breach"] for row in stand.rows("breaches")] == ["dead_letters"]


def assert_over(daemon: Daemon) -> None:
    """Nothing of a stopped daemon goes on."""
    wait_until(lambda: not any(each.is_alive() for each in daemon.timetable._workers))


def test_a_hung_system_delays_only_its_own_flows(stand: Stand, postgresql_server: str) -> None:
    stand.agree(5)
    proxy = Proxy(int(postgresql_server.rpartition(":")[2]))
    proxy.mode = "swallow"
    text = MAP.replace("${PLACE}", str(stand.place))
    text = text.replace(
        "data_types:",
        f'  hung: {{kind: sql, url: "postgresql://postgres@127.0.0.1:{proxy.port}/postgres", '
        "budget: {timeout: 60s}}\ndata_types:",
    )
    text = text.replace(
        "      billing: {collection: customers, key: id}",
        "      billing: {collection: customers, key: id}\n      hung: {collection: customers, key: id}",
    )
    text += "  to_hung: {data_type: customer, from: crm, to: hung, pattern: real-time, every: 1s}\n"
    stand.map_file.write_text(text)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    before = stand.count("probe_runs")

    def runs(flow: str) -> list[dict[str, object]]:
        return [row for row in stand.rows("probe_runs")[before:] if row["flow"] == flow]

    daemon.start()
    wait_until(lambda: len(runs("to_billing")) >= 4)
    assert runs("to_hung") == []  # it still waits, and the others did not
    daemon.stop()
    proxy.close()
    assert {row["reason"] for row in runs("to_billing")} == {None}
    assert_over(daemon)


def test_a_stop_writes_nothing_of_what_it_cuts_off(stand: Stand, postgresql_url: str) -> None:
    """An audit that waits for a hung system is not a failure of that system only because we stop."""
    with psycopg.connect(postgresql_url, autocommit=True) as database:
        database.execute("CREATE TABLE customers (id integer PRIMARY KEY, name text, amount text)")
        database.execute("CREATE TABLE letters (id integer, record integer, failed_at timestamptz, error text)")
    server, _, name = postgresql_url.rpartition("/")
    proxy = Proxy(int(server.rpartition(":")[2]))
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
    stand.map_file.write_text(
        stand.map_file.read_text()
        .replace("data_types:", f'  hung: {{kind: sql, url: "{url}", budget: {{timeout: 60s}}}}\ndata_types:')
        .replace("      billing: {coll", "      hung: {collection: customers, key: id}\n      billing: {coll")
        .replace("    to: billing", "    to: hung")
        .replace("system: billing,", "system: hung,")
    )
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    wait_until(lambda: stand.count("probe_runs") and stand.count("backlogs"))
    proxy.mode = "swallow"
    written: list[list[int]] = []

    def hangs() -> bool:
        """The flow and its queue both wait; what they read before is written."""
        written.append([stand.count(table) for table in ("probe_runs", "backlogs", "incidents")])
        time.sleep(0.2)
        return daemon._lanes["hung"].running == 2 and written[-10:] == [written[-1]] * 10

    wait_until(hangs)
    before = written[-1]
    daemon.stop()
    proxy.close()
    assert_over(daemon)
    assert [stand.count(table) for table in ("probe_runs", "backlogs", "incidents")] == before
    assert failures(stand) == []
    assert daemon.readers["hung"].health.failures == 0


def pressed(stand: Stand, flows: int = 12) -> None:
    """A map whose windows run out all the time: every change of the owner is late in the copy."""
    flow = "{data_type: customer, from: crm, to: billing, pattern: real-time, every: 200ms}\n"
    text = stand.map_file.read_text().partition("flows:\n")[0].replace("window: 4s", "window: 1s")
    stand.map_file.write_text(text + "flows:\n" + "".join(f"  flow_{at}: {flow}" for at in range(flows)))


@contextmanager
def written(stand: Stand) -> Iterator[None]:
    """Writes to the owner without end."""
    over = threading.Event()

    def write() -> None:
        key = 0
        while not over.wait(0.02):
            key = key % 50 + 1
            stand.put("crm", key, str(time.time_ns()), ago_s=0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def failures(stand: Stand) -> list[object]:
    return [row["message"] for row in stand.rows("probe_runs") if row["reason"]]


def test_a_daemon_under_load_stops_at_any_instant(stand: Stand) -> None:
    """What runs must never wait for the one who stops it, and nothing that a stop cuts off is a failure."""
    pressed(stand)
    chance = random.Random(1)
    with written(stand):
        for _ in range(6):
            daemon = Daemon(
                load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
            )
            before = stand.count("probe_runs")
            daemon.start()
            wait_until(lambda before=before: stand.count("probe_runs") > before + 12)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.4))  # any instant will do
            stopping = threading.Thread(target=daemon.stop)
            stopping.start()
            stopping.join(PATIENCE_S)
            assert not stopping.is_alive()
            assert_over(daemon)
    assert failures(stand) == []


def test_the_process_ends_at_sigterm_at_any_instant(stand: Stand) -> None:
    pressed(stand)
    chance = random.Random(2)
    environment = {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    with written(stand):
        for at in range(4):
            before = stand.count("probe_runs")
            place = stand.place / f"var{at}"
            with running(stand.map_file, place, environment=environment, warmed=at > 0) as daemon:
                wait_until(lambda before=before: stand.count("probe_runs") > before + 12)  # type: ignore[misc]
                time.sleep(chance.uniform(0, 0.4))
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(PATIENCE_S) == 0
    assert failures(stand) == []


def test_many_flows_share_few_threads(stand: Stand) -> None:
    """150 flows, a third of them to systems that hang, on 32 threads; each healthy one is audited."""
    pressed(stand, 100)
    text = stand.map_file.read_text()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:  # it takes connections and never answers
        url = f"postgresql://postgres@127.0.0.1:{deaf.getsockname()[1]}/x"
        hung = [f"hung_{at}" for at in range(5)]
        systems = "".join(f'  {name}: {{kind: sql, url: "{url}", budget: {{timeout: 2s}}}}\n' for name in hung)
        bindings = "".join(f"      {name}: {{collection: customers, key: id}}\n" for name in hung)
        flow = "{data_type: customer, from: crm, to: HUNG, pattern: real-time, every: 200ms}\n"
        flows = "".join(f"  hung_{at}: {flow}".replace("HUNG", hung[at % len(hung)]) for at in range(50))
        text = text.replace("data_types:", systems + "data_types:").replace("flows:", bindings + "flows:") + flows
        stand.map_file.write_text(text)
        daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
        before = stand.count("probe_runs")
        daemon.start()

        def audited() -> set[object]:
            return {row["flow"] for row in stand.rows("probe_runs")[before:] if row["reason"] is None}

        wait_until(lambda: len(audited()) == 100, 240)
        assert len(daemon.timetable._workers) <= THREADS
        daemon.stop()
        assert_over(daemon)
    broken = [row for row in stand.rows("probe_runs")[before:] if row["reason"]]
    assert all(str(row["flow"]).startswith("hung_") for row in broken)
    assert {row["reason"] for row in broken} <= {"timeout", "unreachable"}


def test_flows_of_one_owner_come_together_and_share_what_they_read_of_it(stand: Stand) -> None:
    pressed(stand, 4)
    text = stand.map_file.read_text().replace("every: 200ms", "every: 2s").replace("window: 1s", "window: 30s")
    stand.map_file.write_text(text)
    for key in range(1, 41):
        for system in ("crm", "billing"):
            stand.put(system, key)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    (reads,) = {*daemon.owner_reads.values()}
    daemon.start()

    def audits() -> dict[str, int]:
        runs = [str(row["flow"]) for row in stand.rows("probe_runs")]
        return {flow: runs.count(flow) for flow in daemon.auditors}

    wait_until(lambda: min(audits().values()) >= 3 and reads.shared >= 120)
    used = [daemon.allowances["crm"].used(flow).records for flow in daemon.auditors]
    daemon.stop()
    assert_over(daemon)
    compared = sum(int(str(row["read"])) for row in stand.rows("probe_runs"))
    assert sum(used) < compared  # a record that several flows compare is read once
    assert failures(stand) == []
    reads.forget()
    assert reads.held[0] == 0


def test_a_flow_that_is_alone_at_its_owner_shares_nothing(stand: Stand) -> None:
    daemon = Daemon(stand.map, Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    assert daemon.owner_reads == {}
    daemon.stop()


def test_slack_hears_of_a_breach_once_when_it_opens_and_once_when_it_is_over(stand: Stand) -> None:
    slack = FakeSlack()
    stand.agree(5)
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack: {{webhook: '{slack.url}'}}\n")
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    try:
        for key in (1, 2, 3):
            stand.put("crm", key, "Grace", ago_s=0)
        wait_until(lambda: slack.got)
        audited = stand.count("probe_runs")
        wait_until(lambda: stand.count("probe_runs") >= audited + 3)
        assert len(slack.got) == 1
        for key in (1, 2, 3):
            stand.put("billing", key, "Grace")
        wait_until(lambda: len(slack.got) >= 2)
        audited = stand.count("probe_runs")
        wait_until(lambda: stand.count("probe_runs") >= audited + 2)
    finally:
        daemon.stop()
        slack.close()
    assert ["OPEN" in got["text"] for got in slack.got] == [True, False]
    assert "RESOLVED" in slack.got[1]["text"]


@pytest.mark.timeout(180)
def test_kill_9_resumes_pending_changes_and_repeats_no_alert_silently(stand: Stand) -> None:
    """The daemon is killed at arbitrary instants; the record goes on to its verdict and one incident."""
    stand.agree(5)
    stand.map_file.write_text(
        stand.map_file.read_text() + f"alerts:\n  webhook: {{url: 'http://127.0.0.1:{free_port()}/x'}}\n"
    )
    stand.put("crm", 3, "Grace", ago_s=0)
    environment = {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    chance = random.Random(3)
    for audits in (1, 2, 3):
        before = stand.count("probe_runs")
        with running(stand.map_file, stand.place / "var", environment=environment, warmed=True) as daemon:
            wait_until(lambda before=before, audits=audits: stand.count("probe_runs") >= before + audits)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.4))  # any instant will do
            daemon.send_signal(signal.SIGKILL)
    before = stand.count("probe_runs")
    with running(stand.map_file, stand.place / "var", environment=environment, warmed=True) as daemon:
        wait_until(lambda: stand.count("probe_runs") > before)
        wait_until(lambda: stand.ledger.findings.open_by_cause().get("to_billing") == {"late": 1})
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0
    assert stand.count("changes") == 1
    assert len(stand.breaches("not_arriving")) == 1
    alerts = [row["transition"] for row in stand.rows("alerts")]
    assert alerts.count("opened") == 1


def test_heartbeats_follow_recorded_audits_and_their_failures_are_in_the_status(stand: Stand) -> None:
    stand.agree(3)
    replies = [Response(document=b"no", status=500)]
    with receiver(lambda _: replies.pop() if replies else b"OK") as service:
        text = stand.map_file.read_text()
        stand.map_file.write_text(
            text + f"alerts: {{heartbeat: {{url: '{service.url}/ping/{SECRET}', every: 1s}}}}\n"
        )
        daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
        assert service.asked == []
        daemon.start()
        wait_until(lambda: stand.ledger.heartbeats.state().error)
        assert stand.ledger.heartbeats.state().error == "HTTP 500: no"
        wait_until(lambda: stand.ledger.heartbeats.state().sent_at)
        assert stand.ledger.heartbeats.state().failures == 0
        daemon.stop()
    assert_over(daemon)
    assert {each.path for each in service.asked} == {f"/ping/{SECRET}"}


def test_people_hear_of_a_job_that_hangs_and_of_a_clock_that_was_set(stand: Stand) -> None:
    """Nothing else would: no audit is late, and every system shares the clock."""
    stand.agree(3)
    slack, hung = FakeSlack(), threading.Event()
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts: {{slack: {{webhook: '{slack.url}'}}}}\n")
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))

    def told(text: str) -> bool:
        return any(text in got["text"] for got in slack.got)

    daemon._add("reading in vain", 1.0, lambda: wait_until(hung.is_set), longest_s=0.0)
    daemon.start()
    for by_s in (1.0, -3600.0):
        daemon._own_clock.was_set(by_s)
    wait_until(lambda: told("The clock of this machine was set back by 60 min"))
    wait_until(lambda: daemon.vitals.health().hanging)
    wait_until(lambda: told("obs of the auditor hang, restart it: reading in vain: runs for"))
    hung.set()
    wait_until(lambda: not daemon.vitals.health().hanging)
    daemon.stop()
    slack.close()
    assert sum("clock of this machine" in got["text"] for got in slack.got) == 1
    assert_over(daemon)


def test_a_receiver_that_rejects_messages_makes_the_daemon_unhealthy(stand: Stand) -> None:
    stand.agree(3)
    slack = FakeSlack()
    slack.answers = [(404, "no_service", {})] * 100
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts: {{slack: {{webhook: '{slack.url}'}}}}\n")
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    stand.run("billing", "DELETE FROM customers WHERE id = 2")

    def alerts() -> list[str]:
        return list(daemon.vitals.health().as_document()["checks"]["alerts"]["reasons"])

    wait_until(alerts, 2 * PATIENCE_S)
    assert "slack: 1 message not delivered since" in alerts()[0]
    assert "no_service" in alerts()[0]
    daemon.stop()
    slack.close()
