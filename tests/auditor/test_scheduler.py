"""The daemon: its rhythm, its independence of hung systems, its stop, and its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditor.map_file import load_map
from auditor.scheduler import Daemon
from auditor.workspace import Workspace
from tests.auditor.test_alerts import FakeSlack
from tests.proxy import Proxy
from tests.servers import free_port
from tests.stand import MAP, Stand

HOME = Path(__file__).parents[2]


def wait_until(done: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_audits_in_rhythm_and_stops_cleanly(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', 'no')")
    stand.run("billing", "INSERT INTO letters VALUES (2, 4, '2026-03-01 00:00:00', 'no')")
    before = len(stand.rows("probe_runs"))
    daemon = Daemon(stand.map, Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    wait_until(lambda: len(stand.rows("probe_runs")) >= before + 3 and stand.rows("backlogs"))
    begun = time.monotonic()
    daemon.stop()
    assert time.monotonic() - begun < 8
    after = len(stand.rows("probe_runs"))
    time.sleep(1.5)
    assert len(stand.rows("probe_runs")) == after
    assert [row["key"] for row in stand.rows("dead_letters")] == ["3", "4"]
    assert [row["breach"] for row in stand.rows("incidents")] == ["dead_letters"]


def test_a_hung_system_delays_only_its_own_flows(stand: Stand, postgresql_server: str) -> None:
    stand.agree(5)
    proxy = Proxy(int(postgresql_server.rpartition(":")[2]))
    proxy.mode = "swallow"
    text = MAP.replace("${PLACE}", str(stand.place))
    text = text.replace(
        "data_types:",
        f'  hung: {{kind: sql, url: "postgresql://postgres@127.0.0.1:{proxy.port}/postgres", '
        "budget: {timeout: 1s}}\ndata_types:",
    )
    text = text.replace(
        "      billing: {collection: customers, key: id}",
        "      billing: {collection: customers, key: id}\n      hung: {collection: customers, key: id}",
    )
    text += "  to_hung: {data_type: customer, from: crm, to: hung, pattern: real-time, every: 1s}\n"
    stand.map_file.write_text(text)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    before = len(stand.rows("probe_runs"))
    daemon.start()
    time.sleep(6)
    daemon.stop()
    proxy.close()
    runs = stand.rows("probe_runs")[before:]
    healthy = [row for row in runs if row["flow"] == "to_billing" and row["reason"] is None]
    hung = [row for row in runs if row["flow"] == "to_hung"]
    assert len(healthy) >= 4
    assert hung
    assert {row["reason"] for row in hung} <= {"timeout", "unreachable"}


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
        time.sleep(3)
        assert len(slack.got) == 1
        for key in (1, 2, 3):
            stand.put("billing", key, "Grace")
        wait_until(lambda: len(slack.got) == 2, 40)
        time.sleep(2)
    finally:
        daemon.stop()
        slack.close()
    assert ["OPENED" in got["text"] for got in slack.got] == [True, False]
    assert "RESOLVED" in slack.got[1]["text"]


@pytest.mark.timeout(180)
def test_kill_9_resumes_pending_changes_and_repeats_no_alert_silently(stand: Stand) -> None:
    """The daemon is killed at arbitrary instants; the record goes on to its verdict and one incident."""
    stand.agree(5)
    stand.map_file.write_text(
        stand.map_file.read_text() + f"alerts:\n  webhook: {{url: 'http://127.0.0.1:{free_port()}/x'}}\n"
    )
    stand.put("crm", 3, "Grace", ago_s=0)
    environment = {**os.environ, "AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    command = [
        sys.executable,
        "-m",
        "auditor",
        "run",
        "--map",
        str(stand.map_file),
        "--data",
        str(stand.place / "var"),
    ]
    for pause_s in (1.7, 2.3, 2.9):
        daemon = subprocess.Popen(command, cwd=HOME, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(pause_s)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    before = len(stand.rows("probe_runs"))
    daemon = subprocess.Popen(command, cwd=HOME, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(stand.rows("probe_runs")) > before, 40)
        wait_until(lambda: stand.ledger.live_counts().get("to_billing") == {"late": 1}, 40)
    finally:
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert len(stand.rows("changes")) == 1
    assert len([row for row in stand.rows("incidents") if row["breach"] == "not_arriving"]) == 1
    alerts = [row["transition"] for row in stand.rows("alerts")]
    assert alerts.count("opened") == 1
