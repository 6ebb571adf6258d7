"""The command line as a stranger uses it, with wrong input too."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auditor.alerts.delivery_rule import after_try
from auditor.alerts.reporter import Reporter
from auditor.audit.flow_audit import Auditor
from auditor.audit.once import audit_once
from auditor.audit.queue_audit import QueueAuditor
from auditor.cli import app, conflicts
from auditor.ledger import Ledger
from auditor.map import presets
from auditor.senders.contract import Receipt
from auditor.systems.doctor import SystemReport, _examine
from auditor.workspace import Workspace
from checks.clocks import ClockBounds, narrow
from checks.escalation import State
from probes.contract import Reason, UnprovedError
from probes.registry import QUEUE_KINDS, RECORD_KINDS, open_queue_probe
from tests import HOME, warm
from tests.daemons import map_of_every_kind
from tests.stand import Stand


def auditor(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    return warm.run(
        [*map(str, words)],
        cwd=cwd or HOME,
        env={**clean, "PYTHONPATH": str(HOME), "COLUMNS": "200", **environment},
        timeout=100,
    )


def places_of(stand: Stand) -> list[object]:
    return ["--map", stand.map_file, "--data", stand.place / "var"]


@pytest.fixture
def places(stand: Stand) -> list[object]:
    return places_of(stand)


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = auditor("--help")
    assert done.returncode == 0
    for word in (
        "init",
        "check",
        "schema",
        "doctor",
        "run",
        "once",
        "status",
        "drift",
        "incidents",
        "lag",
        "coverage",
        "record",
        "query",
        "map",
        "discover",
        "conflicts",
        "repair",
        "review",
        "demo",
        "Exit codes",
    ):
        assert word in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["--version"], ["check"], ["review"], ["schema"]])
def test_what_reads_no_more_than_the_map_loads_no_driver(words: list[str], tmp_path: Path) -> None:
    every = map_of_every_kind()
    assert {system["kind"] for system in every["systems"].values()} == {*RECORD_KINDS}
    assert {queue["kind"] for queue in every["flows"]["to_api"]["queues"].values()} == {*QUEUE_KINDS}
    (tmp_path / "map.yaml").write_text(json.dumps(every))
    code = (
        "import sys\n"
        f"sys.argv = ['auditor', *{words!r}]\n"
        "from auditor.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = 'pandas streamlit plotly duckdb pyarrow scipy numpy apscheduler sqlalchemy alembic httpx psycopg '\n"
        "heavy += 'pymysql sqlite3 redis nats confluent_kafka boto3 grpc proton asyncio pymongo bson cryptography'\n"
        "assert not set(heavy.split()) & set(sys.modules), set(heavy.split()) & set(sys.modules)\n"
    )
    environment = {**os.environ, "AUDITOR_MAP": str(tmp_path / "map.yaml")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HOME, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_command_does_the_same_in_a_process_that_begins_with_nothing(stand: Stand, places: list[object]) -> None:
    for words in (
        ["--help"],
        ["check", "--map", stand.map_file],
        ["check", "--map", "nowhere.yaml"],
        ["once", *places, "--wait", "soon"],
        ["record", "customer", "1", "--map", stand.map_file],
        ["query", "SELECT 1", *places[2:4]],
    ):
        warmed, cold = auditor(*words), auditor(*words, PYTHONNODEBUGRANGES="1")
        assert warmed.args[0] == "auditor"
        assert cold.args[0] == sys.executable
        assert (warmed.returncode, warmed.stdout, warmed.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_init_writes_a_preset_and_names_those_there_are(tmp_path: Path) -> None:
    assert "presets for slack, twilio, zendesk" in auditor("init", cwd=tmp_path).stdout
    shown = auditor("init", "--help").stdout
    assert [name for name in presets.names() if name not in shown] == []
    made = auditor("init", "--preset", "zendesk", cwd=tmp_path)
    assert (made.returncode, "wrote zendesk.yaml" in made.stdout) == (0, True)
    assert (tmp_path / "zendesk.yaml").read_text() == presets.text("zendesk")
    assert auditor("init", "--preset", "zendesk", cwd=tmp_path).returncode == 2
    other = auditor("init", "--preset", "zendex", cwd=tmp_path)
    assert (other.returncode, "did you mean 'zendesk'?" in other.stderr) == (2, True)


def test_init_check_and_their_mistakes(tmp_path: Path) -> None:
    assert auditor("init", cwd=tmp_path).returncode == 0
    again = auditor("init", cwd=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    unset = auditor("check", cwd=tmp_path)
    assert unset.returncode == 2
    assert "environment variable CRM_URL is not set" in unset.stdout
    (tmp_path / ".env").write_text("CRM_URL=sqlite:///a.sqlite\nWAREHOUSE_URL=sqlite:///b.sqlite\n")
    good = auditor("check", cwd=tmp_path)
    assert (good.returncode, good.stdout) == (0, "valid: 2 systems, 1 data type, 1 flow, 0 queues\n")
    told = json.loads(auditor("check", "--json", cwd=tmp_path).stdout)
    assert told["valid"] is True


def test_check_says_where_more_mistakes_may_show(stand: Stand) -> None:
    words, text = ["--map", stand.map_file], stand.map_file.read_text()
    stand.map_file.write_text(text.replace("kind: sql, url", "kind: sqll, url"))
    hidden = "more may show once these are mended"
    assert auditor("check", *words).stderr == f"{hidden}\n"
    assert json.loads(auditor("check", "--json", *words).stdout)["more"] is True
    assert hidden in auditor("doctor", *words).stderr.splitlines()[-1]
    stand.map_file.write_text(text.replace("zone: UTC", "zone: Utopia"))
    assert auditor("check", *words).stderr == ""


@pytest.mark.parametrize("command", ["once", "doctor", "run"])
def test_the_auditors_own_ledger_is_no_system(command: str, stand: Stand) -> None:
    ledger = stand.place / "var" / "ledger.sqlite"
    (stand.place / "link").symlink_to(ledger)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text.replace("/billing.sqlite", "/link"))
    done = auditor(command, *places_of(stand))
    assert done.returncode == 2
    assert f"map.yaml:3:24 systems.billing.url: {ledger} is the auditor's own ledger" in done.stderr
    checked = auditor("check", "--map", stand.map_file, AUDITOR_LEDGER=f"sqlite:///{ledger}")
    assert (checked.returncode, "the auditor's own ledger" in checked.stdout) == (2, True)
    assert auditor("check", "--map", stand.map_file).returncode == 0


def test_a_map_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    for command in (["check"], ["doctor"], ["run"], ["once"], ["status"], ["record", "a", "1"]):
        done = auditor(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert "auditor init" in done.stderr
        assert "Traceback" not in done.stderr


def test_schema_is_json() -> None:
    assert json.loads(auditor("schema").stdout)["title"] == "Plumbline integration map"


def test_doctor_proves_read_only_and_shows_clocks(stand: Stand) -> None:
    done = auditor("doctor", "--map", stand.map_file, "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert [row["system"] for row in rows] == ["crm", "billing", "queue to_billing/dead"]
    assert "write is refused" in rows[0]["read_only"]
    assert "±" in rows[0]["clock"]


def test_doctor_warns_where_nothing_proves_that_a_system_cannot_be_written_to(stand: Stand) -> None:
    def unproved(_: object) -> str:
        raise UnprovedError(Reason.PERMISSION, "it is not proved", hint="give it SELECT only")

    reader = stand.readers["crm"]
    reader.probe.prove_read_only = unproved  # type: ignore[method-assign,assignment]
    found = _examine(stand.map, reader, None, None)
    assert found.ok
    assert found.read_only == "not proved"
    assert "warning: it is not proved (give it SELECT only)" in found.remarks


def test_doctor_tells_that_a_clock_was_set(stand: Stand, places: list[object]) -> None:
    stand.agree(3)
    stepped = narrow(
        ClockBounds(lower_s=99, upper_s=100, measured_at=datetime.now(UTC)), stand.readers["crm"].probe.clock()
    )
    with stand.ledger.write() as transaction:
        stand.ledger.measurements.save_health(transaction, "crm", stand.readers["crm"].health, stepped)
    (stand.place / "var").mkdir()
    told = auditor("doctor", *places, AUDITOR_LEDGER=stand.ledger_url).stdout
    assert "crm: its clock was found to have been set at" in told
    assert "billing: its clock" not in told


def test_doctor_makes_no_installation(stand: Stand, places: list[object]) -> None:
    assert auditor("doctor", *places).returncode == 0
    assert not (stand.place / "var").exists()


def test_doctor_names_what_is_wrong(stand: Stand) -> None:
    stand.run("billing", "ALTER TABLE customers RENAME COLUMN amount TO amonut")
    done = auditor("doctor", "--map", stand.map_file, "--json")
    assert done.returncode == 3
    assert "did you mean 'amonut'" in done.stdout


def test_a_mistake_of_the_map_that_a_system_shows_is_a_sentence_without_a_code(
    stand: Stand, places: list[object]
) -> None:
    stand.remap("billing: {collection: customers", "billing: {collection: custmers")
    said = "no table named 'custmers' (did you mean 'customers'?)"
    (found,) = [
        each for each in json.loads(auditor("doctor", *places, "--json").stdout) if each["system"] == "billing"
    ]
    assert found["state"] == said
    assert json.loads(auditor("once", *places, "--json").stdout)[0]["error"] == f"billing: {said}"
    shown = auditor("record", "customer", "1", "--map", stand.map_file)
    assert "no table named 'custmers'" in shown.stdout
    assert "query:" not in shown.stdout


def test_once_tells_consistent_drift_and_could_not_verify_apart(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    good = auditor("once", *places)
    assert good.returncode == 0, good.stderr
    assert "consistent" in good.stdout
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    drift = auditor("once", *places, "--json")
    assert drift.returncode == 1
    assert json.loads(drift.stdout)[0]["verdict"] == "1 foreign_write"
    assert auditor("once", *places, "--fail-on", "late,lost").returncode == 0
    stand.put("billing", 2)
    stand.put("billing", 3, amount="twelve")
    assert auditor("once", *places).returncode == 3
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    broken = auditor("once", *places)
    assert broken.returncode == 3
    assert "customers" in broken.stderr


def test_what_a_failed_read_left_unread_is_an_error_and_no_count(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    done = auditor("once", *places, "--json")
    (told,) = json.loads(done.stdout)
    assert (told["verdict"], done.returncode, "billing: no table named" in told["error"]) == ("unverified", 3, True)
    assert (told["cannot_verify"], told["counts"]["unverified"], told["unverified_records"]) == (0, 0, [])
    for command in ("status", "repair"):
        shown = auditor(command, *places)
        assert (shown.returncode, "billing: query since" in shown.stdout + shown.stderr) == (3, True)
        assert "never audited" not in shown.stdout + shown.stderr


def test_records_that_cannot_be_read_are_told_one_by_one_with_the_reason(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key, "Eve" if key == 1 else "Ada", "twelve" if key == 3 else "1.00")
    done = auditor("once", *places, "--json")
    assert done.returncode == 1, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["counts"] == {"divergent": 1, "pending": 0, "unverified": 1}
    assert [(each["key"], each["cause"], each["fields"]) for each in told["divergent_records"]] == [
        ("1", "unexplained", "name")
    ]
    (unread,) = told["unverified_records"]
    assert (unread["subject"], unread["name"]) == ("record", "3")
    assert unread["reason"].startswith("amount in billing: not a decimal")
    assert "twelve" not in done.stdout
    table = auditor("once", *places)
    assert "amount in billing: not a decimal" in table.stdout
    listed = json.loads(auditor("drift", *places, "--json").stdout)
    assert listed[0]["unverified_records"] == told["unverified_records"]
    stand.put("billing", 1)
    only = auditor("once", *places, "--json")
    assert (only.returncode, json.loads(only.stdout)[0]["verdict"]) == (3, "unverified")


def test_an_earlier_map_that_is_not_there_is_no_reason_for_a_new_one(stand: Stand) -> None:
    done = auditor("map", "--map", stand.map_file, "--diff", stand.place / "earlier.yaml")
    assert done.returncode == 2
    assert "earlier.yaml; point to an earlier one with --diff" in done.stderr
    assert "init" not in done.stderr


@pytest.mark.parametrize(
    "words",
    ["check --map", "map --diff", "status --data", "query --file", "queries save x --file", "demo play --data"],
)
def test_an_empty_path_is_not_taken_for_the_current_folder(words: str) -> None:
    done = auditor(*words.split(), "")
    assert done.returncode == 2
    assert "it is empty; name a path" in " ".join(done.stderr.replace("│", "").split())


def test_drift_says_what_decides_what_is_pending(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    assert auditor("once", *places, "--wait", "0s").returncode == 3
    done = auditor("drift", *places)
    assert done.returncode == 3
    assert "1 pending record is undecided as of " in done.stderr
    assert "not late: the next `auditor once`, or `auditor run`, decides" in done.stderr


def test_drift_lists_what_differs_by_flow_and_cause(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    assert auditor("once", *places).returncode == 0
    clean = auditor("drift", *places)
    assert (clean.returncode, "no records are known to differ" in clean.stderr) == (0, True)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.run("billing", "DELETE FROM customers WHERE id = 3")
    assert auditor("once", *places).returncode == 1
    done = auditor("drift", "to_billing", *places)
    assert done.returncode == 1
    assert "divergent: foreign_write" in done.stdout
    assert "divergent: lost" in done.stdout
    (only,) = json.loads(auditor("drift", *places, "--cause", "lost", "--json").stdout)
    assert [(each["key"], each["kind"]) for each in only["divergent_records"]] == [("3", "missing")]
    assert only["counts"]["divergent"] == 1
    wrong = auditor("drift", *places, "--cause", "lots")
    assert (wrong.returncode, "did you mean 'lost'" in wrong.stderr) == (2, True)
    (both,) = json.loads(auditor("drift", *places, "--cause", "lost, foreign_write", "--json").stdout)
    assert both["counts"]["divergent"] == 2
    other = auditor("drift", *places, "--cause", "orphan")
    assert (other.returncode, "for this cause; 2 records differ for other causes" in other.stderr) == (0, True)
    state = auditor("drift", *places, "--cause", "undecided")
    assert (state.returncode, "undecided is a state of a record, not a cause" in state.stderr) == (2, True)


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["once", "--wait", "soon"], "not a duration"),
        (["once", "--flow", "to_biling"], "did you mean 'to_billing'"),
        (["once", "--fail-on", "lat"], "did you mean 'late'"),
        (["once", "--fail-on", " , "], "--fail-on is empty; name causes, or write any or never"),
        (["record", "custmer", "1"], "did you mean 'customer'"),
        (["record", "customer", "abc"], "is not a valid key of customer"),
    ],
)
def test_wrong_words_are_usage_errors(words: list[str], said: str, stand: Stand) -> None:
    done = auditor(*words, "--map", stand.map_file, AUDITOR_DATA=str(stand.place / "var"))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


READING = ("status", "drift", "lag", "coverage", "backlog", "letters", "incidents", "conflicts", "repair")


@pytest.mark.parametrize("command", [*READING, "query"])
def test_a_command_that_only_reads_makes_no_ledger_and_says_that_there_is_none(
    stand: Stand, places: list[object], command: str
) -> None:
    words = places[2:4] if command in {"incidents", "conflicts", "query"} else places
    asked = [command, *(["SELECT 1"] if command == "query" else ()), *words]
    done = auditor(*asked)
    said = f"there is no ledger in {stand.place}/var yet: run `auditor run` or `auditor once`, or point --data to it"
    assert (done.returncode, done.stdout, said in done.stderr) == (3, "", True), done.stderr
    assert not (stand.place / "var").exists()
    if command != "repair":
        told = auditor(*asked, "--json")
        assert (told.returncode, json.loads(told.stdout)) == (3, {"error": said})
    (stand.place / "var").mkdir()
    assert auditor(*asked).returncode == 3
    assert list((stand.place / "var").iterdir()) == []


@pytest.mark.parametrize("command", READING)
def test_before_the_first_audit_nothing_looks_fine(stand: Stand, places: list[object], command: str) -> None:
    words = places[2:4] if command in {"incidents", "conflicts"} else places
    done = auditor(command, *words, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "no open" in done.stderr, "no conflict" in done.stderr) == (3, False, False), done.stderr
    if command not in {"repair", "status"}:
        told = auditor(command, *words, "--json", AUDITOR_LEDGER=stand.ledger_url)
        json.loads(told.stdout)
        assert told.returncode == 3
    if command == "lag":
        assert "no data: never audited" in done.stderr
        assert "no traffic" not in done.stdout


@pytest.mark.parametrize("command", ["lag", "coverage", "objectives"])
def test_figures_of_a_flow_that_nobody_audits_any_more_are_unverified(
    stand: Stand, places: list[object], command: str
) -> None:
    stand.agree(5)
    with stand.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE flow_state SET audited_at = audited_at - 3600000000")
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "to_billing: no data: not audited" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("command", ["status", "drift"])
def test_what_differed_before_a_flow_fell_silent_is_not_its_state(
    stand: Stand, places: list[object], command: str
) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.sweep()
    with stand.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE flow_state SET audited_at = audited_at - 3600000000")
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "no data" in done.stdout + done.stderr) == (3, True)


def test_once_status_and_coverage_have_one_word_and_one_exit_code_for_it(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key, amount="twelve" if key == 3 else "1.00")
    (once,) = json.loads(auditor("once", *places, "--json").stdout)
    shown = auditor("status", *places, "--json")
    (status,) = json.loads(shown.stdout)["flows"]
    assert (once["verdict"], status["state"], shown.returncode) == ("unverified", "unverified", 3)
    covered = auditor("coverage", *places, "--json")
    assert (json.loads(covered.stdout)[0]["state"], covered.returncode) == ("unverified", 3)
    assert "to_billing: unverified: 1 cannot be verified: amount in billing" in covered.stderr


def test_a_map_without_queues_tells_nothing_of_dead_letters(stand: Stand, places: list[object]) -> None:
    text = stand.map_file.read_text()
    stand.map_file.write_text(text[: text.index("    queues:")])
    stand.agree(5)
    done = auditor("letters", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "the map names no queue of dead letters" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_once_says_which_queues_it_did_not_read_and_what_reads_them(words: list[str], stand: Stand) -> None:
    line = "did not read 1 queue (to_billing/dead): `auditor run` reads queues and dead letters\n"
    stand.agree(5)
    assert auditor("once", *places_of(stand), *words).stderr.endswith(line)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text[: text.index("    queues:")])
    assert "queue" not in auditor("once", *places_of(stand), *words).stderr


@pytest.mark.parametrize("command", ["letters", "backlog"])
def test_a_queue_that_nobody_reads_any_more_is_not_known(stand: Stand, places: list[object], command: str) -> None:
    settings = stand.map.queues["to_billing", "dead"]
    probe = open_queue_probe(settings, stand.map.systems["billing"])
    watcher = QueueAuditor(
        flow=stand.map.flow("to_billing"), queue="dead", settings=settings, probe=probe, ledger=stand.ledger
    )
    watcher.audit(datetime.now(UTC) - timedelta(minutes=30))
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "to_billing, queue dead: not read since" in done.stderr) == (3, True), done.stderr


def test_status_reads_the_ledger_alone(stand: Stand, places: list[object]) -> None:
    silent = auditor("status", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert silent.returncode == 3
    assert "no data" in silent.stdout
    assert "Budgets" in silent.stdout
    assert "no auditor is running, so this is as of the last audit; start `auditor run`" in silent.stderr
    told = json.loads(auditor("status", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)["budgets"]
    assert [(each["system"], each["records_per_s"], each["shed"]) for each in told] == [
        ("crm", 5000, 0),
        ("billing", 5000, 0),
    ]


def test_record_shows_every_system_side_by_side(stand: Stand, places: list[object]) -> None:
    stand.put("crm", 7, "Ada")
    stand.put("billing", 7, "Eve")
    done = auditor("record", "customer", "7", "--map", stand.map_file)
    assert done.returncode == 1
    for word in ("crm (owner)", "billing (copy)", "Ada", "Eve"):
        assert word in done.stdout
    told = json.loads(auditor("record", "customer", "7", "--map", stand.map_file, "--json").stdout)
    assert (told["verdict"], told["differing"]) == ("differs", ["name"])
    assert [each["link"] for each in told["copies"]] == [None, None]
    stand.remap("billing: {collection: ", 'billing: {link: "https://billing.example/c/{key}", collection: ')
    linked = auditor("record", "customer", "7", "--map", stand.map_file)
    assert "open in billing: https://billing.example/c/7\n" in linked.stdout
    absent = auditor("record", "customer", "999", "--map", stand.map_file)
    assert (absent.returncode, "not found" in absent.stdout) == (3, True)


def test_query_answers_and_refuses(stand: Stand, places: list[object]) -> None:
    auditor("once", *places)
    good = auditor(
        "query", "SELECT flow, sum(read) AS n FROM probe_runs GROUP BY flow", "--data", places[3], "--json"
    )
    assert json.loads(good.stdout)["rows"] == [{"flow": "to_billing", "n": 0}]
    bad = auditor("query", "DROP TABLE live_changes", "--data", places[3])
    assert (bad.returncode, "only SELECT" in bad.stderr) == (2, True)
    misspelt = auditor("query", "SELECT flw FROM probe_runs", "--data", places[3])
    assert misspelt.returncode == 2
    assert misspelt.stderr == "error: there is no column 'flw' in probe_runs; did you mean 'flow'?\n"
    unreadable = auditor("query", "SELECT flow FROM probe_runs LIMIT", "--data", places[3])
    lines = unreadable.stderr.splitlines()
    assert ("LIMIT" in lines[0], lines[2].startswith("LINE 1: "), "␊" in unreadable.stderr) == (True, True, False)


def double(stand: Stand) -> list[object]:
    """Make an installation with a conflict that waits for a person; returns its places."""
    places = places_of(stand)
    stand.fill(3)
    assert auditor("once", *places).returncode == 0
    stand.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 2")
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    assert auditor("once", *places).returncode == 1
    return places


@pytest.fixture
def doubled(stand: Stand) -> list[object]:
    return double(stand)


@pytest.fixture(scope="module")
def doubled_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[object]]:
    """The same for tests that change nothing there."""
    stand = Stand(tmp_path_factory.mktemp("doubled"))
    yield double(stand)
    stand.close()


def test_conflicts_are_listed_shown_and_decided(doubled: list[object]) -> None:
    data = doubled[2:4]
    listed = auditor("conflicts", *data)
    assert (listed.returncode, "several rows in billing" in listed.stdout) == (1, True), listed.stderr
    (row,) = json.loads(auditor("conflicts", *data, "--json").stdout)
    assert (row["key"], row["state"]) == ("2", "open")
    assert json.loads(auditor("conflicts", "list", *data, "--json").stdout) == [row]
    number = str(row["conflict_id"])
    shown = auditor("conflicts", "show", number, *doubled)
    assert "why it needs a person" in shown.stdout
    more = ["--who", "ada", "--within", "2h", "--text", "it is old"]
    decided = auditor("conflicts", "decide", number, "crm", *doubled, *more)
    assert decided.returncode == 0, decided.stderr
    told = json.loads(auditor("conflicts", "show", number, *doubled, "--json").stdout)
    assert told["conflict"]["state"] == "decided"
    assert [(each["act"], each["who"]) for each in told["decisions"]] == [("opened", "auditor"), ("decide", "ada")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "open", "--flow", "to_*", "--cause", "*"], 1),
        (["list", "--flow", "to_billing"], 1),
        (["list", "--state", "decided"], 0),
        (["--flow", "elsewhere"], 0),
        (["--mine", "--by", "ada"], 0),
    ],
)
def test_conflicts_are_chosen_by_what_they_are(words: list[str], found: int, doubled_for_all: list[object]) -> None:
    done = auditor("conflicts", *words, *doubled_for_all[2:4], "--json")
    assert (len(json.loads(done.stdout)), done.returncode) == (found, found), done.stderr
    told = auditor("conflicts", *words, *doubled_for_all[2:4]).stderr
    assert ("no conflicts that match are waiting" in told) == (not found)


def test_a_conflict_in_an_unknown_state_is_a_usage_error(doubled_for_all: list[object]) -> None:
    done = auditor("conflicts", "list", "--state", "opne", *doubled_for_all[2:4])
    assert (done.returncode, "did you mean 'open'" in done.stderr) == (2, True), done.stderr
    assert [*conflicts.STATES] == [*State]


@pytest.mark.parametrize("group", ["incidents", "conflicts", "queries"])
def test_a_group_without_a_command_lists(group: str, stand: Stand, places: list[object]) -> None:
    assert auditor("once", *places).returncode == 0
    for words in ([], ["--json"]):
        bare, named = (auditor(group, *more, *words, *places[2:4]) for more in ([], ["list"]))
        assert (bare.returncode, bare.stdout, bare.stderr) == (named.returncode, named.stdout, named.stderr)
    told = auditor(group, "--help").stdout
    assert "list" in told
    misplaced = auditor(group, *places[2:4], "show", "1")
    assert misplaced.returncode == 2, "options of the list before another command count for nothing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "99"], "there is no conflict 99"),
        (["show", "9" * 20], f"there is no conflict {'9' * 20}"),
        (["assign", "9" * 20, "ada"], f"there is no conflict {'9' * 20}"),
        (["comment", "9" * 20, "old"], f"there is no conflict {'9' * 20}"),
        (["decide", "9" * 20, "crm"], f"there is no conflict {'9' * 20}"),
        (["defer", str(2**63), "1h"], f"there is no conflict {2**63}"),
        (["decide", "1", "shop"], "not for shop"),
        (["decide", "99", "crm"], "there is no conflict 99"),
        (["defer", "1", "soon"], "not a duration"),
        (["decide", "1", "crm", "--within", "x"], "not a duration"),
        (["comment", "1", ""], "comment is empty"),
        (["show", "zero"], "valid integer"),
    ],
)
def test_acts_that_make_no_sense_are_usage_errors(words: list[str], said: str, doubled_for_all: list[object]) -> None:
    done = auditor("conflicts", *words, *doubled_for_all)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_bytes_of_an_answer_are_hex_digits(places: list[object]) -> None:
    auditor("once", *places)
    done = auditor("query", "SELECT '\\xFFA'::BLOB AS raw, ['\\x00'::BLOB] AS many", *places[2:], "--json")
    assert json.loads(done.stdout)["rows"] == [{"raw": "ff41", "many": ["00"]}]


def test_a_file_is_no_data_folder(places: list[object], tmp_path: Path) -> None:
    file = tmp_path / "some.file"
    file.touch()
    done = auditor("once", *places[:2], "--data", file)
    assert (done.returncode, "is a file, not a folder" in done.stderr) == (2, True), done.stderr


def test_backlog_and_letters_tell_what_waits_and_why(stand: Stand, places: list[object]) -> None:
    assert auditor("backlog", *places).returncode == 3
    unread = auditor("letters", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (unread.returncode, "whether dead letters wait is not known" in unread.stderr) == (3, True), unread.stderr
    settings = stand.map.queues["to_billing", "dead"]
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', '422: row 77 is wrong')")
    probe = open_queue_probe(settings, stand.map.systems["billing"])
    flow = stand.map.flow("to_billing")
    with closing(Workspace.at(stand.place / "var").ledger()) as ledger:
        watcher = QueueAuditor(flow=flow, queue="dead", settings=settings, probe=probe, ledger=ledger)
        watcher.audit(datetime.now(UTC))
    (row,) = json.loads(auditor("backlog", *places, "--json").stdout)
    assert (row["queue"], row["depth"], row["arriving"]) == ("dead", 1, None)
    shown = auditor("backlog", *places)
    assert (shown.returncode, "unknown" in shown.stdout) == (0, True)
    (letter,) = json.loads(auditor("letters", *places, "--json").stdout)
    assert (letter["key"], letter["signature"], letter["prospect"]) == ("3", "422: row <n> is wrong", "unknown")
    grouped = auditor("letters", *places, "--by-reason")
    assert (grouped.returncode, "422: row <n> is wrong" in grouped.stdout) == (1, True)


def test_letters_of_a_queue_that_are_not_known_are_not_called_none(stand: Stand, places: list[object]) -> None:
    with closing(Workspace.at(stand.place / "var").ledger()) as ledger:

        def read(depth: int | None, looked_at: int, message: str | None = None) -> None:
            values = dict.fromkeys(("arrived", "taken", "oldest_at", "oldest_age_s", "age_of", "drops_at", "reason"))
            told = {"flow": "to_billing", "queue": "dead", "role": "dead", "read_at": datetime.now(UTC), "notes": ""}
            with ledger.write() as transaction:
                row = {**values, **told, "depth": depth, "looked_at": looked_at, "message": message}
                ledger.queues.save_backlog(transaction, row)

        for reading, code, said in (
            ((None, 0), 3, "how many dead letters wait is not known"),
            ((7, 0), 3, "7 of 7 waiting letters were not looked at"),
            ((None, 0, "no route"), 3, "cannot be read, so whether dead letters wait is not known: no route"),
            ((0, 0), 0, "no dead letters are waiting"),
        ):
            read(*reading)
            for words in ([], ["--json"]):
                done = auditor("letters", *words, *places)
                known = said in done.stderr or (bool(words) and code == 0)
                assert (done.returncode, known) == (code, True), done.stderr
                assert not words or json.loads(done.stdout) == []


def test_no_conflict_is_said_and_consistent(stand: Stand, places: list[object]) -> None:
    stand.agree(1)
    done = auditor("conflicts", *places[2:4], AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, done.stdout, "no conflicts are waiting" in done.stderr) == (0, "", True)


def test_repair_proposes_and_executes_nothing(stand: Stand, doubled: list[object]) -> None:
    done = auditor("repair", *doubled)
    assert done.returncode == 0, done.stderr
    assert "UPDATE customers SET name='Ada' WHERE id = 3 AND name = 'Eve';" in done.stdout
    assert "a person must decide" in done.stdout
    assert "1 proposal, 1 record without a proposal" in done.stderr
    assert {row["action"] for row in json.loads(auditor("repair", *doubled, "--format", "json").stdout)} == {
        "update",
        "none",
    }
    assert auditor("repair", *doubled, "--format", "csv").stdout.startswith("flow,data_type,key")
    with stand.open("billing") as database:
        assert database.execute("SELECT name FROM customers WHERE id = 3").fetchone() == ("Eve",)


def test_the_map_is_written_drawn_and_compared(stand: Stand) -> None:
    place = ["--map", stand.map_file]
    assert auditor("map", *place).stdout.startswith("# Integration map")
    assert auditor("map", *place, "--format", "mermaid").stdout.startswith("flowchart LR")
    assert auditor("map", *place, "--format", "svg").stdout.startswith("<svg")
    assert "    overlap: 10s\n" in auditor("map", *place, "--format", "yaml").stdout
    (row,) = json.loads(auditor("map", *place, "--json").stdout)
    assert (row["flow"], row["window"]) == ("to_billing", "4 s")
    other = stand.place / "other.yaml"
    other.write_text(stand.map_file.read_text().replace("window: 4s", "window: 8s"))
    same = auditor("map", *place, "--diff", stand.map_file)
    assert (same.returncode, "are identical" in same.stderr) == (0, True)
    changed = auditor("map", *place, "--diff", other, "--json")
    assert changed.returncode == 1
    assert [edit["path"] for edit in json.loads(changed.stdout)] == ["data_types.customer.window"]
    assert auditor("map", *place, "--format", "png").returncode == 2


def test_discover_proposes_a_map_from_names_or_addresses(stand: Stand) -> None:
    for key in range(1, 9):
        stand.put("crm", key, f"Name {key}")
        stand.put("billing", key, f"Name {key}")
    by_name = auditor("discover", "crm", "billing", "--map", stand.map_file)
    assert by_name.returncode == 0, by_name.stderr
    assert "8 of 8 values equal" in by_name.stdout
    urls = [f"sqlite:///{stand.place}/{name}.sqlite" for name in ("crm", "billing")]
    by_url = auditor("discover", *urls)
    assert "customer_to_billing" in by_url.stdout, by_url.stderr
    assert str(stand.place) not in by_url.stdout
    for words, said in (
        (["crm", "biling"], "did you mean 'billing'"),
        (["crm", "crm"], "mean the same system"),
        (["oracle://x/y", "crm"], "no SQL probe for 'oracle'"),
    ):
        done = auditor("discover", *words, "--map", stand.map_file)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    absent = auditor("discover", f"sqlite:///{stand.place}/no.sqlite", "billing", "--map", stand.map_file)
    assert (absent.returncode, "Traceback" in absent.stderr) == (3, False)


def test_a_ledger_that_cannot_be_opened_is_said(stand: Stand) -> None:
    done = auditor("status", "--map", stand.map_file, AUDITOR_LEDGER="mysql://x/y")
    assert (done.returncode, "postgresql://" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_lag_and_coverage_tell_their_figures_with_their_error(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    empty = json.loads(auditor("lag", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)
    assert [(row["flow"], row["state"], row["p50_s"]) for row in empty] == [("to_billing", "no traffic", None)]
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    stand.put("billing", 3, "Grace")
    stand.audit()
    shown = auditor("lag", *places, "--flow", "to_billing", AUDITOR_LEDGER=stand.ledger_url)
    assert "measured" in shown.stdout
    covered = json.loads(auditor("coverage", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)
    assert covered[0]["walk"] == "rank"
    assert covered[0]["differed_most"] == 0
    assert covered[0]["verified_through"]
    told = auditor("coverage", *places, AUDITOR_LEDGER=stand.ledger_url).stdout
    assert "0 of 5" in told


def test_the_heading_of_coverage_is_one_line(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    assert auditor("once", *places).returncode == 0
    _, heading, line, *_ = auditor("coverage", *places).stdout.splitlines()
    assert [each.strip() for each in heading.split("┃")[1:-1]][:5] == [
        *("flow", "state", "unverified", "verified through", "behind")
    ]
    assert line.startswith("┡")


@pytest.mark.parametrize("command", ["lag", "coverage"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "soon"], "--since: "),
        (["--flow", "to_biling"], "unknown flow 'to_biling'; did you mean 'to_billing'?"),
    ],
)
def test_lag_and_coverage_refuse_what_they_do_not_know(
    stand: Stand, places: list[object], command: str, words: list[str], message: str
) -> None:
    refused = auditor(command, *places, *words, AUDITOR_LEDGER=stand.ledger_url)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("words", [["-5"], ["--", "-5"], ["--json", "-5"], ["-5", "--json"]])
def test_a_key_may_begin_with_a_dash(stand: Stand, words: list[str]) -> None:
    stand.put("crm", -5)
    stand.put("billing", -5)
    done = auditor("record", "customer", *words, "--map", stand.map_file)
    if words[0] == "--":  # everything behind it is an argument, also --map
        assert (done.returncode, "unexpected extra argument" in done.stderr) == (2, True)
        done = auditor("record", "--map", stand.map_file, "customer", *words)
    assert (done.returncode, "-5" in done.stdout) == (0, True), done.stderr


def test_a_misspelt_option_is_no_key(stand: Stand) -> None:
    done = auditor("record", "customer", "5", "--mapp", stand.map_file)
    assert (done.returncode, "No such option" in done.stderr) == (2, True), done.stderr


def test_a_query_may_begin_with_a_comment(stand: Stand, places: list[object]) -> None:
    done = auditor(
        "query",
        "-- how many\nSELECT count(*) AS n FROM changes",
        "--json",
        "--data",
        places[3],
        AUDITOR_LEDGER=stand.ledger_url,
    )
    assert (done.returncode, json.loads(done.stdout or "{}").get("rows")) == (0, [{"n": 0}]), done.stderr


def test_once_counts_each_record_once(stand: Stand, places: list[object]) -> None:
    stand.fill(30)
    stand.put("billing", 31)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.audit.once.SWEEP_PAGE", 7)
        with closing(Workspace.at(stand.place / "var").ledger()) as ledger:
            (report,) = audit_once(stand.map, ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert report.records == 31


def test_json_is_shown_as_json(stand: Stand) -> None:
    stand.remap("amount: {type: decimal, evidence: clear, valid: {min: 0}}", "amount: {type: json, evidence: clear}")
    stand.put("crm", 1, amount='{"b": [1, 2.50, null], "a": {"c": true}}')
    stand.put("billing", 1, amount='{"b": [1, 2.5, null], "a": {"c": false}}')
    shown = auditor("record", "customer", "1", "--map", stand.map_file, COLUMNS="300")
    assert '"c": true' in shown.stdout, shown.stdout
    assert "('" not in shown.stdout
    told = json.loads(auditor("record", "customer", "1", "--map", stand.map_file, "--json").stdout)
    assert json.loads(told["copies"][1]["cells"]["amount"]["text"]) == {"a": {"c": False}, "b": [1, 2.5, None]}


def test_discover_needs_no_more_of_a_map_than_its_systems(stand: Stand) -> None:
    for key in range(1, 9):
        stand.put("crm", key, f"Name {key}")
        stand.put("billing", key, f"Name {key}")
    first = stand.place / "first.yaml"
    first.write_text(stand.map_file.read_text().partition("data_types:")[0])
    found = auditor("discover", "crm", "billing", "--map", first)
    assert (found.returncode, "8 of 8 values equal" in found.stdout) == (0, True), found.stderr


EVIL = "a\x1b[31mb\u202ec\x9bd\ne"
"""Text that colours, turns and breaks lines on a terminal."""


@pytest.fixture
def evil(stand: Stand, places: list[object]) -> list[object]:
    """A record whose key and value a terminal would act on, differing."""
    stand.remap("key_type: integer", "key_type: string")
    for system, name in (("crm", EVIL), ("billing", "Ada")):
        with stand.open(system) as database:
            database.execute("INSERT INTO customers VALUES (?, ?, '1', '2026-01-01 00:00:00')", (EVIL, name))
    assert auditor("once", "--wait", "20s", *places).returncode == 1
    return places


def unseen(text: str) -> set[str]:
    """The characters that a terminal would act on, lines apart."""
    return set(text) & {"\x1b", "\u202e", "\x9b", "\0"}


def test_no_text_from_outside_acts_on_the_terminal(evil: list[object]) -> None:
    select = ["query", "SELECT key FROM divergences"]
    for words, places in (
        (["drift"], evil),
        (["once", "--wait", "0s"], evil),
        (["record", "customer", EVIL], evil[:2]),
        (["repair"], evil),
        (select, evil[2:]),
        ([*select, "--json"], evil[2:]),
        (["drift", "--json"], evil),
        (["record", "nothing" + EVIL, "1"], evil[:2]),
    ):
        done = auditor(*words, *places)
        told = done.stdout + done.stderr
        assert "[31m" in told, words
        assert not unseen(told), words
        assert "\ne" not in told, words  # the text's own line break


def texts_of(document: object) -> set[str]:
    if isinstance(document, dict):
        return {text for each in document.values() for text in texts_of(each)}
    if isinstance(document, list):
        return {text for each in document for text in texts_of(each)}
    return {str(document)}


def test_json_and_csv_hold_texts_as_they_are(evil: list[object]) -> None:
    for words, places in (
        (["drift", "--json"], evil),
        (["record", "customer", EVIL, "--json"], evil[:2]),
        (["repair", "--format", "json"], evil),
    ):
        assert EVIL in texts_of(json.loads(auditor(*words, *places).stdout)), words
    rows = list(csv.DictReader(io.StringIO(auditor("repair", "--format", "csv", *evil).stdout, newline="")))
    assert [(row["key"], row["proposed"]) for row in rows] == [(EVIL, EVIL)]


def test_a_query_with_numbers_that_json_has_none_for_is_strict_json(places: list[object]) -> None:
    auditor("once", *places, "--wait", "0s")
    done = auditor("query", "SELECT 'nan'::double a, '-inf'::double b", "--json", *places[2:])

    def refuse(token: str) -> object:
        raise AssertionError(token)

    (row,) = json.loads(done.stdout, parse_constant=refuse)["rows"]
    assert row == {"a": "NaN", "b": "-Infinity"}


@pytest.mark.parametrize(
    ("index", "seed", "told"),
    [
        ("CREATE INDEX i", "0" * 32, ["for random samples at any time: CREATE INDEX i"]),
        ("CREATE INDEX i", None, ["see what `auditor doctor` says once the auditor has run"]),
        (None, "0" * 32, []),
    ],
)
def test_doctor_tells_what_an_order_of_keys_means_where_something_can_be_done(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, index: str | None, seed: str | None, told: list[str]
) -> None:
    stand.agree(3)
    reader = stand.readers["crm"]
    monkeypatch.setattr(reader, "can_rank", lambda *_: False)
    monkeypatch.setattr(reader.probe, "rank_index", lambda *_: index)
    found = [each for each in _examine(stand.map, reader, seed, None).remarks if "order of its keys" in each]
    assert len(found) == len(told)
    assert all(
        part in each and "estimates hold only once a sweep" in each for each, part in zip(found, told, strict=True)
    )


def test_doctor_prints_a_statement_in_one_line(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = f"CREATE INDEX CONCURRENTLY ON customers ({'id, ' * 100}id)"
    report = SystemReport(
        system="crm", latency_s=None, clock="", read_only="", problems=[], remarks=[f"for samples: {statement}"]
    )
    monkeypatch.setattr("auditor.systems.doctor.examine", lambda *_, **__: [report])
    done = CliRunner().invoke(
        app, ["doctor", "--map", str(stand.map_file), "--data", str(stand.map_file.parent / "none")]
    )
    assert f"crm: for samples: {statement}" in done.output.splitlines()


def test_verified_says_what_is_known_of_one_record(stand: Stand, places: list[object]) -> None:
    def verified(*words: str) -> subprocess.CompletedProcess[str]:
        return auditor("verified", *words, *places, AUDITOR_LEDGER=stand.ledger_url, AUDITOR_DIGEST_KEY="k" * 32)

    assert verified("customer", "3").returncode == 3
    stand.agree(5)
    done = verified("customer", "3", "--within", "1h", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "verified")
    done = verified("customer", "3", "--within", "1ms")
    assert done.returncode == 3
    assert "at most 1 ms are allowed" in " ".join(done.stdout.split())
    done = verified("customer", "3", "--within", "1ms", "--read", "--json")
    assert (done.returncode, json.loads(done.stdout)["read_live"]) == (3, True)  # even that takes longer
    done = verified("customer", "3", "--within", "1m", "--read")
    assert (done.returncode, "customer 3: verified as of" in done.stderr) == (0, True)
    stand.put("billing", 3, name="Eve")
    done = verified("customer", "3", "--within", "1ms", "--read")
    assert done.returncode == 3
    for words in (["customer", "x"], ["nothing", "3"], ["customer", "3", "--within", "soon"]):
        assert verified(*words).returncode == 2


def test_status_shows_since_when_and_why_the_heartbeat_fails(stand: Stand, places: list[object]) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    alerts = 'alerts: {heartbeat: {url: "https://hc.example/0c8983c9-9d73-446f-adb5-0641fdacc9d4"}}\n'
    stand.map_file.write_text(stand.map_file.read_text() + alerts)
    stand.ledger.heartbeats.note(at, "")
    stand.ledger.heartbeats.note(at + timedelta(minutes=1), "no response (ConnectTimeout)")
    done = auditor("status", "--json", *places, AUDITOR_LEDGER=stand.ledger_url)
    heartbeat = json.loads(done.stdout)["heartbeat"]
    assert (heartbeat["failures"], heartbeat["error"]) == (1, "no response (ConnectTimeout)")
    done = auditor("status", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert "heartbeat last accepted at 2026-03-01 12:00:00 UTC, failing since 2026-03-01 12:01:00 UTC" in done.stderr
    assert "0c8983c9" not in done.stdout + done.stderr
