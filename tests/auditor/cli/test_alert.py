"""`auditor alert test`: what it prints, and its exit codes."""

from __future__ import annotations

import json

from tests.auditor.cli.process import auditor
from tests.auditor.senders.receivers import receiver
from tests.http_api import Response
from tests.stand import Stand
from tests.standins.slack import BOT_TOKEN, Slack


def test_it_reports_each_sender_and_fails_if_one_does(stand: Stand) -> None:
    original = stand.map_file.read_text()
    with receiver(lambda _: "ok") as good, receiver(lambda _: Response(document="gone", status=404)) as bad:
        alerts = f"alerts:\n  slack: {{webhook: '{good.url}'}}\n  webhook: {{url: '{bad.url}'}}\n"
        stand.map_file.write_text(original + alerts)
        done = auditor("alert", "test", "--json", "--map", stand.map_file)
        assert done.returncode == 3, done.stderr
        rows = {row["sender"]: row for row in json.loads(done.stdout)}
        assert rows["slack"]["outcome"] == "sent"
        assert rows["webhook"]["outcome"] == "rejected"
        assert rows["webhook"]["error"].startswith("HTTP 404")
        one = auditor("alert", "test", "slack", "--map", stand.map_file)
        assert one.returncode == 0, one.stderr
        assert "check that it has arrived" in one.stdout
    assert len(good.asked) == 2
    assert len(bad.asked) == 1


def test_a_route_is_tested_with_all_its_senders(stand: Stand) -> None:
    original = stand.map_file.read_text()
    with receiver(lambda _: "ok") as first, receiver(lambda _: "ok") as second:
        alerts = f"alerts:\n  slack: {{webhook: '{first.url}'}}\n  webhook: {{url: '{second.url}'}}\n"
        routes = "  routes: [{name: night, severity: low, to: webhook}]\n  default: {to: slack}\n"
        stand.map_file.write_text(original + alerts + routes)
        done = auditor("alert", "test", "night", "--map", stand.map_file)
        assert done.returncode == 0, done.stderr
        assert (len(first.asked), len(second.asked)) == (0, 1)
        unknown = auditor("alert", "test", "nigth", "--map", stand.map_file)
    assert unknown.returncode == 2
    assert "did you mean 'night'" in unknown.stderr


def test_a_sender_that_the_map_does_not_set_is_a_mistake(stand: Stand) -> None:
    original = stand.map_file.read_text()
    none = auditor("alert", "test", "--map", stand.map_file)
    assert none.returncode == 2
    assert "no sender" in none.stderr
    stand.map_file.write_text(original + "alerts:\n  slack: {webhook: 'https://x.example/y'}\n")
    other = auditor("alert", "test", "slak", "--map", stand.map_file)
    assert other.returncode == 2
    assert "did you mean 'slack'? Its senders: slack; its routes: default" in " ".join(other.stderr.split())
    number = auditor("alert", "test", "1", "--map", stand.map_file)
    assert number.returncode == 2
    assert "the map has no sender or route '1'; its senders: slack; its routes: default" in " ".join(
        number.stderr.split()
    )


def test_buttons_that_nobody_would_hear_fail_the_test_and_the_doctor(stand: Stand) -> None:
    with Slack() as workspace:
        workspace.create_channel("ops")
        bot = f"{{token: {BOT_TOKEN}, app_token: xapp-other, channel: '#ops', url: '{workspace.url}/api'}}"
        stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack_bot: {bot}\n")
        done = auditor("alert", "test", "--json", "--map", stand.map_file)
        doctor = auditor("doctor", "--json", "--map", stand.map_file, "--data", stand.place / "var")
    assert done.returncode == 3, done.stderr
    rows = {row["sender"]: row for row in json.loads(done.stdout)}
    assert rows["slack_bot"]["outcome"] == "sent"
    assert rows["slack_bot (buttons)"]["outcome"] == "rejected"
    assert doctor.returncode == 3, doctor.stderr
    (found,) = (row for row in json.loads(doctor.stdout) if row["system"] == "alerts slack_bot (buttons)")
    assert "invalid_auth" in str(found)
    assert "xapp-other" not in done.stdout + doctor.stdout


def test_check_refuses_a_token_of_another_kind_without_showing_it(stand: Stand) -> None:
    bot = "{token: xoxb-1-abcdefgh, app_token: xoxb-2-abcdefgh, channel: '#ops'}"
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack_bot: {bot}\n")
    done = auditor("check", "--map", stand.map_file)
    assert done.returncode == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "alerts.slack_bot.app_token" in said
    assert "an app-level token begins with xapp-; this is a bot's token" in said
    assert "abcdefgh" not in said
