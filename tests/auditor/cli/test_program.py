"""The command line as a whole: its help, what it loads, and groups of commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes.registry import QUEUE_KINDS, RECORD_KINDS
from tests import HOME
from tests.auditor.cli.process import auditor
from tests.daemons import map_of_every_kind
from tests.stand import Stand


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
