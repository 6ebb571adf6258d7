"""Working on incidents from the command line: each verb, what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from auditor.alerts.delivery_rule import after_try
from auditor.alerts.reporter import Reporter
from auditor.audit.flow_audit import Auditor
from auditor.cli import app, rows
from auditor.cli.incidents import VERBS
from auditor.desk.desk import Desk
from auditor.ledger import Ledger
from auditor.senders.contract import Receipt
from checks.handling import ACKNOWLEDGED_MEANS, GROWN_TOO_FAR
from tests.auditor.alerts.test_reporter import signal
from tests.auditor.cli.process import auditor
from tests.stand import Stand

ALERTS = "alerts: {slack: {webhook: 'https://hooks.example/secret'}, hold: 0s}\n"


class Shell:
    """A terminal next to a ledger with one open incident of two parts."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        stand.map_file.write_text(stand.map_file.read_text() + ALERTS)
        self.ledger = Ledger(stand.ledger_url)
        self._at = datetime.now(UTC)
        self.report(signal("not_arriving", 10), signal("stalled", 100, queue="dead"))

    def report(self, *signals: Any, after_s: float = 0) -> None:
        """Report signals now, or so long after the ones before."""
        self._at = max(self._at, datetime.now(UTC)) if not after_s else self._at + timedelta(seconds=after_s)
        reporter = Reporter.of_map(self.ledger, self.stand.map, ["slack"], hold_s=0)
        with self.ledger.write() as transaction:
            reporter.report(transaction, signals, self._at)

    def run(self, *words: str, by: str = "ada", reads: bool = False) -> Result:
        places = ["--data", str(self.stand.place / "var")]
        places += [] if reads else ["--map", str(self.stand.map_file)]
        return self.invoke(["incidents", *words, *places], by)

    def invoke(self, words: list[str], by: str = "ada") -> Result:
        return CliRunner(env={"AUDITOR_USER": by, "AUDITOR_LEDGER": self.stand.ledger_url}).invoke(app, words)

    def document(self, *words: str, reads: bool = False, by: str = "ada") -> Any:
        done = self.run(*words, "--json", reads=reads, by=by)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def shown(self, number: int = 1) -> Any:
        return self.document("show", str(number), reads=True)


@pytest.fixture
def shell(stand: Stand) -> Iterator[Shell]:
    made = Shell(stand)
    yield made
    made.ledger.close()


def test_an_incident_is_acknowledged_assigned_commented_and_listed_by_it(shell: Shell) -> None:
    assert shell.run("ack", "1", "--text", "on it").exit_code == 0
    assert shell.run("assign", "1", "bob", by="carl").exit_code == 0
    assert shell.run("comment", "1", "-- it is the proxy").exit_code == 0
    (row,) = shell.document("--state", "acknowledged", "--flow", "to_*", "--cause", "stopped_*", reads=True)
    assert (row["acknowledged_by"], row["assignee"]) == ("ada", "bob")
    assert shell.document("--state", "open", reads=True) == []
    assert shell.document("--mine", reads=True) == []
    assert [each["id"] for each in shell.document("--mine", reads=True, by="bob")] == [1]
    timeline = [(each["verb"], each["who"], each["text"]) for each in shell.shown()["timeline"]]
    assert timeline[1:] == [
        ("acknowledge", "ada", "on it"),
        ("assign", "carl", ""),
        ("comment", "ada", "-- it is the proxy"),
    ]
    assert shell.shown()["timeline"][1]["known_by"].startswith("command line, login ")


def test_it_is_shown_with_its_parts_messages_history_and_similar_ones(shell: Shell) -> None:
    shell.run("resolve", "1", "--text", "restarted the worker")
    with shell.ledger.write() as transaction:
        shell.ledger.incidents.save(transaction, 1, {"resolved_at": datetime.now(UTC) - timedelta(hours=1)})
    shell.report(signal("not_arriving", 10), signal("stalled", 100, queue="dead"))
    shown = shell.run("show", "2", reads=True)
    assert shown.exit_code == 0, shown.output
    for words in ("stopped consumer", "Start the consumer", "Parts", "Messages", "History", "Similar before"):
        assert words in shown.stdout
    document = shell.shown(2)
    assert [each["breach"] for each in document["parts"]] == ["not_arriving", "stalled"]
    assert [each["transition"] for each in document["messages"]] == ["opened"]
    assert [(each["id"], each["comment"]) for each in document["similar"]] == [(1, "restarted the worker")]
    assert "secret" not in json.dumps(document)
    shell.report(signal("not_arriving", 10), signal("stalled", 0, queue="dead"), after_s=60)
    assert "Wait for what was held up." in shell.run("show", "2", reads=True).stdout, (
        "the queue is read again, which no message has said yet"
    )


def test_one_that_came_back_says_how_often_and_its_messages_do_not(shell: Shell) -> None:
    for often in ("once", "2 times"):
        shell.report(signal("not_arriving", 0), signal("stalled", 0, queue="dead"), after_s=60)
        shell.report(signal("not_arriving", 0), signal("stalled", 0, queue="dead"), after_s=120)
        shell.report(signal("not_arriving", 10), signal("stalled", 100, queue="dead"), after_s=10)
        shown = shell.run("show", "1", reads=True).stdout
        assert re.search(rf"came back\W+{often}", shown), shown
    kept = [each["transition"] for each in shell.shown()["messages"]]
    assert kept[-2:] == ["resolved 1", "flapping 2"]
    assert not re.search(r"(?:opened|resolved|flapping) \d", shown), shown
    assert not re.search(r"(?:opened|resolved|flapping) \d", shell.run("--all", reads=True).stdout)


def test_a_count_says_when_it_was_true(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.out, "width", 200)
    shell = Shell(stand)
    shell.report(signal("objective", 7, "to_shop", detail="7 of 9 changes missed their window"))
    (part,) = shell.shown(2)["parts"]
    read_at = datetime.fromisoformat(part["detail_at"])
    shown = shell.run("show", "2", reads=True).stdout
    assert f"as of {read_at:%Y-%m-%d %H:%M:%S} UTC: 7 of 9 changes missed their window" in " ".join(shown.split())
    assert _parts(shown, "now", "peak") == [["–", "7"]]
    assert "now" not in shown.partition("Parts")[0], "what was missed when that was decided is no number of now"
    assert _parts(shell.run("show", "1", reads=True).stdout, "now") == [["10"], ["100"]]
    shell.run("resolve", "1")
    assert _parts(shell.run("show", "1", reads=True).stdout, "now", "peak") == [["–", "10"], ["–", "100"]]


def _parts(shown: str, *headings: str) -> list[list[str]]:
    """These cells of the table of parts, of the first line of each row."""
    lines = shown.partition("Parts")[2].partition("Messages")[0].splitlines()
    cells = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines if line.startswith(("│", "┃"))]
    return [[row[cells[0].index(name)] for name in headings] for row in cells[1:] if row[0]]


def test_acts_print_the_incident_for_programs(shell: Shell) -> None:
    assert shell.document("ack", "1")["state"] == "acknowledged"
    assert shell.document("snooze", "1", "2h")["state"] == "snoozed"
    assert shell.document("unack", "1")["state"] == "open"
    assert shell.document("assign", "1", "bob")["assignee"] == "bob"
    part = str(shell.shown()["parts"][0]["id"])
    assert shell.document("split", "1", part)["id"] == 2
    assert shell.document("merge", "2", "1")["id"] == 1
    assert shell.document("resolve", "1")["state"] == "resolved"


def test_records_are_expected_until_a_time_and_no_longer(stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 3, "Eve")
    stand.audit_until(lambda: stand.rows("incidents"))
    shell = Shell(stand)
    done = shell.run("expected", "1", "--for", "2d", "--reason", "being migrated")
    assert (done.exit_code, "1 record expected to differ until" in done.stderr) == (0, True), done.output
    assert shell.shown()["incident"]["state"] == "resolved"
    done = shell.run("expected", "1", "--end")
    assert (done.exit_code, "nothing of it is expected" in done.stderr) == (0, True), done.output


def test_silences_are_begun_listed_told_by_status_and_ended(shell: Shell) -> None:
    done = shell.run("silence", "--flow", "to_billing", "--for", "2h", "--reason", "migration")
    assert (done.exit_code, "silence 1 until" in done.stderr) == (0, True), done.output
    (row,) = json.loads(shell.run("silence", "list", "--json", reads=True).stdout)
    assert (row["holds"], row["matchers"], row["who"]) == (True, {"flow": ["to_billing"]}, "ada")
    assert "no messages about flow to_billing" in shell.run(reads=True).stderr
    places = ["--data", str(shell.stand.place / "var"), "--map", str(shell.stand.map_file)]
    status = shell.invoke(["status", *places])
    assert "silence 1: no messages about flow to_billing until" in status.stderr
    (told,) = json.loads(shell.invoke(["status", *places, "--json"]).stdout)["silences"]
    assert told["hides"] == "flow to_billing"
    assert shell.run("silence", "end", "1").exit_code == 0
    assert "no silence holds" in shell.run("silence", "list", reads=True).stderr
    (row,) = json.loads(shell.run("silence", "list", "--all", "--json", reads=True).stdout)
    assert (row["holds"], row["ended_by"]) == (False, "ada")
    assert "migration" in shell.run("silence", "list", "--all", reads=True).stdout


def test_a_silence_of_everything_needs_a_yes(shell: Shell) -> None:
    everything = ("silence", "--for", "2h", "--reason", "quiet")
    done = shell.run(*everything)
    assert (done.exit_code, "add --yes" in done.stderr) == (2, True), done.output
    assert shell.run(*everything, "--yes").exit_code == 0


def test_how_long_an_incident_lasted_has_two_digits(shell: Shell) -> None:
    shell.run("ack", "1")
    shell.run("resolve", "1")
    with shell.ledger.write() as transaction:
        found = shell.ledger.incidents.find(1)
        assert found is not None
        opened_at = found["opened_at"]
        shell.ledger.incidents.save(transaction, 1, {"resolved_at": opened_at + timedelta(seconds=828)})
    assert re.search(r"lasted\W+14 min", shell.run("show", "1", reads=True).stdout)
    with shell.ledger.write() as transaction:
        shell.ledger.incidents.save(transaction, 1, {"reopened_at": opened_at + timedelta(seconds=780)})
    again = shell.run("show", "1", reads=True).stdout
    assert re.search(r"lasted\W+48 s", again)
    assert re.search(rf"first opened\W+{opened_at:%Y-%m-%d %H:%M:%S} UTC", again)
    (listed,) = shell.document("--all", reads=True)
    assert (listed["opened_at"], listed["reopened_at"]) != (None, None)
    shown = shell.run("--all", reads=True).stdout
    back_at = opened_at + timedelta(seconds=780)
    assert "since" in shown
    assert f"{back_at:%m-%d %H:%M}" in shown, shown
    assert "opened at" not in shown
    with shell.ledger.write() as transaction:
        shell.ledger.incidents.save(transaction, 1, {"reopened_at": None})
    assert re.search(r"│ 14 min +│$", shell.run("times", reads=True).stdout, re.MULTILINE)


def test_the_help_says_what_an_acknowledgement_means() -> None:
    assert VERBS.attends == ACKNOWLEDGED_MEANS
    assert GROWN_TOO_FAR == 10, "the sentences say tenfold"


def test_times_are_medians_by_severity(shell: Shell) -> None:
    shell.run("ack", "1")
    shell.run("resolve", "1")
    (row,) = shell.document("times", reads=True)
    assert (row["severity"], row["incidents"], row["resolved"]) == ("high", 1, 1)
    assert row["acknowledge_s"] is not None
    assert row["resolve_s"] >= row["acknowledge_s"]
    assert "high" in shell.run("times", reads=True).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ack", "99"], "there is no incident 99"),
        (["ack", "9" * 20], f"there is no incident {'9' * 20}"),
        (["unack", "1"], "neither acknowledged nor snoozed"),
        (["snooze", "1", "soon"], "FOR: not a duration"),
        (["snooze", "1", "0s"], "must be in the future"),
        (["snooze", "1", "400d"], "within 366 days"),
        (["assign", "1", " "], "assign it to is missing"),
        (["assign", "1", "x" * 101], "at most 100"),
        (["comment", "1", " "], "the comment is empty"),
        (["comment", "1", "x" * 2001], "at most 2,000"),
        (["ack", "1", "--by", ""], "who does this is missing"),
        (["expected", "1"], "give either --for, such as 2h, or --until"),
        (["expected", "1", "--for", "2h", "--until", "2999-01-01"], "give either --for, such as 2h, or --until"),
        (["expected", "1", "--for", "2h"], "the reason is empty"),
        (["expected", "1", "--until", "tomorrow", "--reason", "x"], "not a time: 'tomorrow'"),
        (["expected", "1", "--until", "2020-01-01", "--reason", "x"], "must be in the future"),
        (["expected", "1", "--for", "2h", "--reason", "x"], "about no records that differ now"),
        (["expected", "1", "--end"], "no records of incident 1 are expected"),
        (["expected", "1", "--end", "--for", "2h"], "--end goes with neither"),
        (["split", "1", "77"], "77 is no open part of incident 1; its open parts: 1, 2"),
        (["split", "1", "1", "2"], "these are all parts"),
        (["merge", "1", "1"], "into itself"),
        (["merge", "1", "7"], "there is no incident 7"),
        (["silence", "--flow", "to_billing"], "give either --for"),
        (["silence", "--flow", "to_billing", "--for", "1h"], "the reason is empty"),
        (["silence", "--flow", "", "--for", "1h", "--reason", "x"], "a pattern for flow is empty"),
        (
            ["silence", "--severity", "hihg", "--for", "1h", "--reason", "x"],
            "--severity: unknown word 'hihg'; did you mean 'high'?\n",
        ),
        (
            ["silence", "--severity", "x", "--for", "1h", "--reason", "x"],
            "--severity: unknown word 'x'; known: critical, high, low\n",
        ),
        (
            ["silence", "--flow", "to_bilin", "--for", "1h", "--reason", "x"],
            "--flow: the map has no flow 'to_bilin'; did you mean 'to_billing'?",
        ),
        (["silence", "--flow", "of_*", "--for", "1h", "--reason", "x"], "the map has no flow 'of_*'; known: "),
        (["silence", "--system", "crmm", "--for", "1h", "--reason", "x"], "--system: the map has no system 'crmm'"),
        (["silence", "--team", "nosuch", "--for", "1h", "--reason", "x"], "--team: the map has no team 'nosuch'"),
        (
            ["silence", "--data-type", "custmer", "--for", "1h", "--reason", "x"],
            "--data-type: the map has no data type 'custmer'; did you mean 'customer'?",
        ),
        (
            ["silence", "--cause", "quota_usd", "--for", "1h", "--reason", "x"],
            "--cause: there is no cause 'quota_usd'; did you mean 'quota_used'?",
        ),
        (
            ["silence", "--flow", "to_*", "--for", "1h", "--from", "2020-01-01", "--reason", "x"],
            "must be in the future",
        ),
        (["silence", "--flow", "to_*", "--for", "2h", "--from", "2099-01-01", "--reason", "x"], "within 366 days"),
        (["silence", "end", "5"], "there is no silence 5"),
        (["--state", "opened"], "did you mean 'open'"),
        (["--cause", "quota_usd"], "--cause: there is no cause 'quota_usd'; did you mean 'quota_used'?"),
        (
            ["--cause", "quota*", "--cause", "clocks_*"],
            "--cause: there is no cause 'clocks_*'; did you mean 'clock_step'?",
        ),
        (["show", "99"], "there is no incident 99"),
        (["show", "zero"], "valid int"),
        (["times", "--since", "x"], "--since: not a duration"),
    ],
)
def test_acts_that_make_no_sense_are_usage_errors(words: list[str], said: str, shell: Shell) -> None:
    reads = words[0] in {"show", "times", "--state", "--cause"}
    done = shell.run(*words, reads=reads)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
    assert [str(each.verb) for each in shell.ledger.incident_events.of(1)] == ["opened"]


def test_hostile_names_are_shown_harmlessly(shell: Shell) -> None:
    shell.run("assign", "1", "\x1b[31mbob[/red]")
    desk = Desk(shell.stand.map, shell.ledger, who="ada", known_by="test")
    desk.silence({"flow": ["to_\x1b[2J*"]}, datetime.now(UTC) + timedelta(hours=1), "\x1b]0;x\x07")
    assert "to_" in shell.run("silence", "list", reads=True).output
    for words in (("show", "1"), (), ("silence", "list")):
        assert "\x1b" not in shell.run(*words, reads=True).output


def test_incidents_are_listed_and_a_rejected_message_is_told_by_status_and_doctor(
    stand: Stand, places: list[object]
) -> None:
    data = places[2:4]
    none = auditor("incidents", *data)
    assert (none.returncode, "there is no ledger" in none.stderr) == (3, True)
    assert auditor("once", *places).returncode == 0
    none = auditor("incidents", *data)
    assert (none.returncode, "no open incidents" in none.stderr) == (0, True)
    stand.map_file.write_text(stand.map_file.read_text() + "alerts: {webhook: {url: 'http://127.0.0.1:9/secret'}}\n")
    ledger = Ledger(f"sqlite:///{stand.place}/var/ledger.sqlite")
    auditing = Auditor(
        flow=stand.map.flow("to_billing"),
        source=stand.readers["crm"],
        target=stand.readers["billing"],
        ledger=ledger,
        digest_key=b"k" * 32,
        reporter=Reporter.of_map(ledger, stand.map, ["webhook", "slack"], hold_s=0),
    )
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    for _ in range(3):
        auditing.audit(datetime.now(UTC))
    for sender, receipt in {
        "webhook": Receipt(outcome="rejected", error="HTTP 404: no_service"),
        "slack": Receipt(outcome="sent"),
    }.items():
        alert = ledger.outbox.claim(datetime.now(UTC), to=sender)
        assert alert is not None
        now = datetime.now(UTC)
        ledger.outbox.settle(alert, **after_try(receipt, 1, now, False, since_at=now))
    ledger.close()
    (row,) = json.loads(auditor("incidents", *data, "--json").stdout)
    assert (row["breach"], row["state"], row["message"]) == ("unreadable", "open", "failed")
    assert auditor("incidents", *data).returncode == 3  # not known, and not wrong
    (lost,) = json.loads(auditor("status", *places, "--json").stdout)["undelivered"]
    assert (lost["sender"], lost["messages"], lost["error"]) == ("webhook", 1, "HTTP 404: no_service")
    assert lost["advice"].startswith("check the address under alerts.webhook of the map")
    assert "Messages not delivered" in auditor("status", *places).stdout
    stand.run("billing", "ALTER TABLE clients RENAME TO customers")
    doctor = auditor("doctor", *places, "--json")
    assert doctor.returncode == 3
    (told,) = [each for each in json.loads(doctor.stdout) if each["system"] == "alerts webhook"]
    assert told["state"].startswith("1 message not delivered since ")
    assert "secret" not in doctor.stdout
