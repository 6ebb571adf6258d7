"""The SQL console: what is asked honestly is answered, and no statement gets at anything else or beyond a limit."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from auditor.console.answers import rows_of
from auditor.console.limits import ANSWER_BYTES, MESSAGE_BYTES
from auditor.console.query import NoLedgerError, QueryError, check_query, run_query
from auditor.console.sandbox import answer
from auditor.console.statement import read_statement
from auditor.history.archive import archive_settled
from auditor.history.lens import Lens
from auditor.history.views import COLUMNS, VIEWS
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.workspace import Workspace
from benchmarks.console import HEAVY, SECRET, Done, Place, escaped
from tests import HOME, warm
from tests.attacks.statements import HONEST, HOSTILE
from tests.auditor.cli.process import auditor
from tests.auditor.older_ledger import made_at
from tests.servers import free_port
from tests.stand import Stand
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("console"))
    yield made
    made.close()


@pytest.fixture
def workspace(stand: Stand) -> Workspace:
    return Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)


def ask(place: Place, sql: str, timeout_s: float, *words: str) -> Done:
    """Put a statement to `auditor query -`, and measure its processes."""
    environment = {**os.environ, "AUDITOR_LEDGER": f"sqlite:///{place.ledger}", "CANARY": SECRET}
    command = ["query", "-", "--data", str(place.data), "--timeout", f"{timeout_s:g}s", *words]
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(sql.encode("utf-8", "surrogatepass"))
        given.seek(0)
        asked = warm.start(command, cwd=HOME, env=environment, given=given, out=out, err=err)
        try:
            asked.wait(timeout_s + 60)
        finally:
            asked.kill()
            code = asked.wait()
        took_s = time.perf_counter() - begun
        for file in (out, err):
            file.seek(0)
        return Done(
            code=code,
            out=out.read(ANSWER_BYTES * 4),
            err=err.read(ANSWER_BYTES),
            took_s=took_s,
            peak_bytes=asked.peak_bytes,
        )


def task(ledger_url: str, sql: str, *, only_check: bool = False) -> dict[str, Any]:
    until_s = time.monotonic() + 60
    return {"ledger_url": ledger_url, "sql": sql, "timeout_s": 60, "deadline": until_s, "only_check": only_check}


def rows(ledger_url: str, sql: str) -> list[dict[str, Any]]:
    """The answer of the cage, without a process of its own."""
    found: list[dict[str, Any]] = answer(task(ledger_url, sql)).to_pylist()
    return found


# -- hostile statements


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in HEAVY])
def test_no_hostile_statement_gets_through(name: str, place: Place) -> None:
    connection = duckdb.connect(":memory:")
    for sql in map(place.fill, HOSTILE[name]):
        try:
            read_statement(connection, sql)
        except QueryError:
            continue
        done = ask(place, sql, 20, "--json")
        assert escaped(place, sql, done, 600) == [], (sql[:200], done.err[:500])
    assert place.state() == place.before
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        *("SELECT repeat('x', 1500000000)", "SELECT list(range) FROM range(200000000)"),
        *("SELECT replace(repeat('a', 10000000), 'a', repeat('b', 1000))", "SELECT len(range(200000000))"),
        *("SELECT repeat('x', 20000) FROM range(10000)", "SELECT error(repeat('x', 100000000))"),
        *("SELECT 'x'::ENUM('x', '" + "y" * 100_000 + "') FROM range(10000)", "SELECT [[[[[range(1000000)]]]]]"),
        *("SELECT regexp_matches('x', repeat('(', 1000000))", "SELECT repeat(chr(1), 10000000)"),
        'SELECT 1 AS "' + "n" * 100_000 + '" FROM range(10000)',
    ],
    ids=lambda sql: sql[:60],
)
def test_memory_and_length_are_held_to_their_limits(sql: str, place: Place) -> None:
    assert any(sql in HOSTILE[name] for name in HEAVY) or "[[" in sql
    done = ask(place, sql, 30, "--json")
    assert escaped(place, sql, done, 600) == [], done.err[:500]
    if done.code == 0:
        document = json.loads(done.out)
        assert document["truncated"]
        assert "cut after" in done.err.decode()
    else:
        assert len(done.err) <= 2 * MESSAGE_BYTES


def test_every_form_of_an_answer_is_held_to_its_length(place: Place) -> None:
    sql = "SELECT repeat('a b', 1000) AS a, [[[range(300)]]] AS b, chr(8238) || range AS c FROM range(9000)"
    for form in ("--json", "--csv", ""):
        done = ask(place, sql, 60, *([form] if form else []))
        assert done.code == 0
        assert 100_000 < len(done.out) <= ANSWER_BYTES * 1.1, form
        assert b"cut after" in done.err, form


def test_a_runaway_is_stopped(workspace: Workspace, stand: Stand) -> None:
    with pytest.raises(QueryError, match="stopped after 1 s"):
        run_query(workspace, "SELECT count(*) FROM range(10000000000) a, range(100000) b", timeout_s=1)
    assert not sandboxes(os.getpid())


def test_a_function_that_heeds_no_interrupt_is_killed(workspace: Workspace, stand: Stand) -> None:
    with pytest.raises(QueryError, match="stopped after 2 s"):
        run_query(workspace, "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))", timeout_s=2)
    assert not sandboxes(os.getpid())


def sandboxes(parent: int) -> list[int]:
    """The processes of statements that a process waits for."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes()
            above = int((each / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"auditor.console.sandbox" in words and above == parent:
            found.append(int(each.name))
    return found


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_statement_ends_with_whoever_asked(ended_by: signal.Signals, place: Place) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-m", "auditor", "query", HOSTILE["time"][0], "--timeout", "10m", "--data", str(place.data)],
        env={**os.environ, "AUDITOR_LEDGER": f"sqlite:///{place.ledger}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: sandboxes(asking.pid))
        (child,) = sandboxes(asking.pid)
        asking.send_signal(ended_by)
        asking.wait(60)
        wait_until(lambda: not Path(f"/proc/{child}/stat").exists() or _is_dead(child))
    finally:
        asking.kill()
        asking.wait()


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


# -- the list of functions

REFUSED_FUNCTIONS = """
    __between __cast col_description combine combine_aggr current_catalog current_connection_id current_database
    current_query current_query_id current_role current_schema current_schemas current_setting current_transaction_id
    current_user currval finalize format_pg_type format_type get_block_size getvariable has_any_column_privilege
    has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege
    has_language_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
    has_tablespace_privilege hive_partition_component icu_sort_key in_search_path index_key inet_client_addr
    inet_client_port inet_server_addr inet_server_port json_copy_strftime_if_date json_copy_strftime_if_timestamp
    json_deserialize_sql json_serialize_plan json_serialize_sql map_to_pg_oid nextval obj_description
    parse_duckdb_log_message pg_collation_is_visible pg_conf_load_time pg_conversion_is_visible
    pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef pg_has_role pg_is_other_temp_schema
    pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_postmaster_start_time
    pg_size_pretty pg_sleep pg_table_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible
    pg_ts_template_is_visible pg_type_is_visible session_user setseed setval shobj_description sleep_ms stats
    to_aggregate_state txid_current user variant_bytes_to_variant version write_log
"""
"""What was looked at and left out, beside collations and the engine's internals."""


def test_every_function_of_the_engine_was_decided_about() -> None:
    from auditor.console.allowed_functions import FUNCTIONS

    listed = duckdb.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro')"
    ).fetchall()
    there = {name for (name,) in listed if re.fullmatch(r"\w+", name)}
    internal = {name for name in there if name.startswith(("__internal", "collate_", "icu_collate_"))}
    assert there - internal - FUNCTIONS == set(REFUSED_FUNCTIONS.split())
    assert FUNCTIONS - there == {"unnest"}


def test_no_macro_that_may_be_called_hides_a_query_or_another_function() -> None:
    from auditor.console.allowed_functions import FUNCTIONS

    connection = duckdb.connect(":memory:")
    macros = connection.execute(
        "SELECT lower(function_name), macro_definition FROM duckdb_functions() WHERE function_type = 'macro'"
    ).fetchall()
    allowed = [(name, body) for name, body in macros if name in FUNCTIONS]
    assert len(allowed) > 50
    for name, body in allowed:
        try:
            read_statement(connection, f"SELECT {body.replace('main.', '')}")
        except QueryError as error:
            pytest.fail(f"{name}: {body}: {error}")
        assert "select" not in body.lower(), name


# -- honest statements


@pytest.mark.parametrize("name", HONEST)
def test_what_is_asked_honestly_is_answered(name: str, place: Place) -> None:
    url = f"sqlite:///{place.ledger}"
    table = answer(task(url, HONEST[name]))
    if name not in {"nothing", "from alone", "regexp"}:
        assert table.num_rows > 0 or "FROM" in HONEST[name]
    said = str(table.to_pylist())
    for hidden in ("live_", "read_parquet", str(place.archive_folder), str(place.ledger)):
        assert hidden not in said
    assert not re.search(r"\bm[0-9a-f]{12}\.", said)


def test_a_described_view_shows_its_documented_columns_alone(place: Place, stand: Stand) -> None:
    lens = Lens(stand.ledger)
    for view in VIEWS:
        told = [row["column_name"] for row in rows(f"sqlite:///{place.ledger}", f"DESCRIBE {view}")]
        assert told == lens.query(f"SELECT * FROM {view} LIMIT 0").column_names
    lens.close()
    names = [row["name"] for row in rows(f"sqlite:///{place.ledger}", "SHOW TABLES")]
    assert names == sorted(VIEWS)


def test_a_plan_shows_what_is_read_without_files_and_tables(place: Place) -> None:
    url = f"sqlite:///{place.ledger}"
    told = "\n".join(row["plan"] for row in rows(url, "EXPLAIN SELECT flow, count(*) FROM probe_runs GROUP BY flow"))
    assert "SCAN probe_runs in the ledger: projections flow" in told
    assert "SCAN the archive" in told
    ran = "\n".join(row["plan"] for row in rows(url, "EXPLAIN ANALYZE SELECT count(*) FROM probe_runs"))
    assert re.search(r"SCAN the archive.* rows in [0-9.]+ s", ran)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1; SELECT 2", "exactly one statement"),
        ("", "there is no statement; write a SELECT"),
        ("SELECT 1; ; SELECT 2", "got 2; run them one after the other"),
        ("DELETE FROM live_changes", "only SELECT"),
        ("SELECT * FROM live_changes", "there is no view 'live_changes'"),
        ("SELECT * FROM read_csv('/etc/passwd')", "not allowed"),
        ("SELECT getenv('HOME')", "not allowed"),
        ("SELECT pg_get_viewdef(1)", "not allowed"),
        ("SELECT * FROM (SHOW TABLES)", "write SHOW TABLES alone"),
        ("SELECT * FROM main.changes", "without a schema"),
        ("WITH changes AS (SELECT 1) SELECT * FROM changes", "another name"),
        ("SELEC 1", "syntax error"),
        ("PIVOT changes ON verdict", "name the values of a PIVOT"),
        ("SELECT flw FROM changes", "there is no column 'flw' in changes; did you mean 'flow'"),
        ("SELECT 1\0", "NUL"),
        ("SELECT '" + "x" * 300_000 + "'", "longer than 256 KiB"),
    ],
)
def test_a_refusal_says_why(sql: str, said: str, workspace: Workspace, stand: Stand) -> None:
    with pytest.raises(QueryError, match=said):
        answer(task(stand.ledger_url, sql))


def test_a_statement_is_checked_like_one_that_runs_and_not_run(workspace: Workspace, stand: Stand) -> None:
    check_query(workspace, "SELECT count(*) FROM range(1000000000000) a, changes", timeout_s=60)
    check_query(workspace, "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000000000)", timeout_s=60)
    check_query(workspace, "SHOW TABLES")
    for sql, said in (("SELECT 1; SELECT 2", "exactly one statement"), ("SELECT x FROM changes", "x")):
        with pytest.raises(QueryError, match=said):
            check_query(workspace, sql)


def test_an_error_is_told_of_the_statement_that_was_asked(place: Place) -> None:
    with pytest.raises(QueryError) as failed:
        rows(f"sqlite:///{place.ledger}", "SELECT flow FROM changes GROUP BY key")
    assert "EXPLAIN" not in str(failed.value)


def test_a_long_answer_is_cut_and_says_so(workspace: Workspace, stand: Stand) -> None:
    result = run_query(workspace, "SELECT * FROM range(20000)")
    assert (result.table.num_rows, result.truncated) == (10_000, True)
    assert result.cut_text == "only the first 10,000 rows are shown"


# -- what is read of the ledger


def fill(ledger: Ledger, count: int, now: datetime) -> None:
    """Changes over a day with every kind of value that a filter may meet."""
    chance = random.Random(5)
    rows = []
    for number in range(count):
        at = now - timedelta(seconds=chance.randrange(86_400), microseconds=chance.randrange(10**6))
        settled = chance.random() < 0.7
        rows.append(
            {
                "flow": f"flow {number % 3}",
                "key": str(number),
                "fingerprint": b"f" * 16,
                "committed_from_at": at,
                "committed_to_at": at,
                "enrolled_at": at,
                "window_s": 30.0,
                "probes": number % 5,
                "superseded": number % 7 == 0,
                "clamped": [None, True, False][number % 3],
                "verdict": chance.choice(["met", "breach"]) if settled else "pending",
                "lag_lower_s": 0.0,
                "lag_upper_s": chance.random() * 90 if settled else None,
                "settled_at": at + timedelta(seconds=40) if settled else None,
                "operation": chance.choice([None, "insert", "it's) AND (1=1"]),
            }
        )
    with ledger.write() as transaction:
        transaction.execute(sa.insert(t.changes), [{"rev": transaction.revision, **row} for row in rows])


FILTERS = [
    "true",
    "committed_to_at > now() - INTERVAL 1 HOUR",
    "committed_to_at >= now() - INTERVAL 2 HOUR AND committed_to_at < now() - INTERVAL 1 HOUR",
    "committed_to_at BETWEEN now() - INTERVAL 3 HOUR AND now() - INTERVAL 2 HOUR",
    "committed_to_at NOT BETWEEN now() - INTERVAL 3 HOUR AND now() - INTERVAL 2 HOUR",
    "settled_at IS NULL",
    "settled_at IS NOT NULL AND flow = 'flow 1'",
    "settled_at IS NULL OR committed_to_at > now() - INTERVAL 1 HOUR",
    "NOT (committed_to_at > now() - INTERVAL 1 HOUR)",
    "NOT (settled_at IS NULL AND flow = 'flow 1')",
    "(committed_to_at > now() - INTERVAL 1 HOUR) IS NULL",
    "(settled_at > now() - INTERVAL 1 HOUR) IS NOT TRUE",
    "flow = 'flow 2' AND key LIKE '1%'",
    "flow = 'flow 0' OR flow = 'flow 1'",
    "flow IN ('flow 0', 'flow 2') AND verdict <> 'met'",
    "flow = 'Flow 1'",
    "operation = 'it''s) AND (1=1'",
    "operation IS NULL AND verdict = 'pending'",
    "date_trunc('hour', committed_to_at) = date_trunc('hour', now() - INTERVAL 1 HOUR)",
    "committed_to_at::DATE = current_date",
    "committed_to_at > (SELECT max(enrolled_at) - INTERVAL 1 HOUR FROM changes)",
    "id IN (SELECT max(id) FROM changes GROUP BY flow)",
    "lag_upper_s > 30 AND committed_to_at > now() - INTERVAL 6 HOUR",
    "coalesce(settled_at, now()) > now() - INTERVAL 1 HOUR",
    "CASE WHEN flow = 'flow 1' THEN committed_to_at > now() - INTERVAL 1 HOUR ELSE true END",
    "committed_to_at > '-infinity' AND committed_to_at < 'infinity'",
    "committed_to_at = (SELECT min(committed_to_at) FROM changes)",
    "committed_to_at > now() - INTERVAL 1 HOUR AND settled_at > now() - INTERVAL 30 MINUTE AND flow = 'flow 1'",
    "(flow = 'flow 1') = (settled_at IS NULL)",
    "(settled_at IS NULL) BETWEEN false AND (committed_to_at > now() - INTERVAL 1 HOUR)",
    "superseded IS NOT TRUE AND probes >= 0",
]
SHAPES = [
    "SELECT count(*) AS n, min(id) AS low, max(id) AS high FROM changes WHERE {}",
    "SELECT flow, verdict, count(*) AS n FROM changes WHERE {} GROUP BY ALL ORDER BY ALL",
    "SELECT * FROM changes WHERE {} ORDER BY id LIMIT 7",
    "SELECT count(*) AS n FROM changes a JOIN (SELECT id FROM changes WHERE {}) b USING (id)",
    "WITH w AS (SELECT id, committed_to_at AS settled_at, flow AS operation FROM changes WHERE {}) "
    "SELECT count(*) AS n FROM w WHERE settled_at > now() - INTERVAL 5 HOUR AND operation <> 'flow 0'",
    "SELECT count(*) AS n FROM changes LEFT JOIN (SELECT id AS i FROM changes WHERE {}) w ON i = id WHERE i IS NULL",
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Lens]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('filled')}/ledger.sqlite"
    ledger = Ledger(url)
    ledger.migrate()
    fill(ledger, 3_000, datetime.now(UTC))
    archive_settled(ledger, str(tmp_path_factory.mktemp("archive")), datetime.now(UTC), keep_live_s=12 * 3600)
    lens = Lens(ledger)
    lens.refresh()
    yield url, lens
    lens.close()
    ledger.close()


@pytest.mark.parametrize("where", FILTERS)
def test_what_is_not_read_of_the_ledger_changes_no_answer(where: str, filled: tuple[str, Lens]) -> None:
    """The lens holds every row and column; the cage reads what the plan asks for."""
    url, lens = filled
    # One instant for both: what now() means moves on between them.
    at = "TIMESTAMPTZ '" + datetime.now(UTC).isoformat() + "'"
    for shape in SHAPES:
        sql = shape.format(where).replace("now()", at).replace("current_date", f"{at}::DATE")
        assert rows(url, sql) == lens.query(sql).to_pylist(), sql


def scanned(url: str, where: str) -> int:
    """How many rows of the ledger were read."""
    plan = rows(url, f"EXPLAIN ANALYZE SELECT count(*) FROM changes WHERE {where}")
    (line,) = [row["plan"] for row in plan if "SCAN changes in the ledger" in row["plan"]]
    found = re.search(r"(\d+) rows in", line)
    assert found
    return int(found[1])


def test_only_the_range_that_a_statement_names_is_read(filled: tuple[str, Lens]) -> None:
    url, lens = filled
    every = scanned(url, "probes >= 0")
    (live,) = lens.query("SELECT count(*) AS n FROM live_changes").to_pylist()
    assert every == live["n"] > 1_000
    assert 0 < scanned(url, "committed_to_at > now() - INTERVAL 1 HOUR") < every / 5
    assert 0 < scanned(url, "flow = 'flow 1'") < every / 2
    assert 0 < scanned(url, "settled_at IS NULL") < every
    assert scanned(url, "committed_to_at > now() - INTERVAL 1 HOUR OR flow = 'flow 1'") == every


HEAVY_LIBRARIES = {"sqlalchemy", "alembic", "pandas", "scipy", "streamlit", "plotly", "httpx", "pydantic", "fsspec"}


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT * FROM changes", "DESCRIBE incidents"])
def test_the_process_loads_no_more_than_it_needs(sql: str, filled: tuple[str, Lens], tmp_path: Path) -> None:
    said = tmp_path / "said"
    with (
        said.open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "auditor.console.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=err,
        ) as process,
    ):
        assert process.stdin
        process.stdin.write(json.dumps(task(filled[0], sql)).encode() + b"\n")
        process.stdin.flush()  # and not closed: it ends with whoever asked
        assert process.wait(60) == 0, said.read_text()
    named = {line.rpartition("|")[2].strip() for line in said.read_text().splitlines()}
    assert "duckdb" in named
    loaded = {name.partition(".")[0] for name in named if "." in name}  # what is only looked for has no modules
    # The archive's files are looked at with fsspec where a table has some.
    assert (HEAVY_LIBRARIES & loaded) <= ({"fsspec"} if "changes" in sql else set())


def test_a_ledger_in_postgresql_answers_alike(postgresql_ledger_url: str) -> None:
    ledger = Ledger(postgresql_ledger_url)
    fill(ledger, 300, datetime.now(UTC))
    lens = Lens(ledger)
    lens.refresh()
    for where in FILTERS:
        at = "TIMESTAMPTZ '" + datetime.now(UTC).isoformat() + "'"
        for shape in (SHAPES[0], SHAPES[2], SHAPES[3]):
            sql = shape.format(where).replace("now()", at).replace("current_date", f"{at}::DATE")
            assert rows(postgresql_ledger_url, sql) == lens.query(sql).to_pylist(), sql
    lens.close()
    ledger.close()


# -- a ledger that cannot be read


def test_an_older_ledger_is_brought_to_this_version(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "var")
    made_at(workspace.ledger_url, "0006").close()
    assert run_query(workspace, "SELECT count(*) AS n FROM changes").table.to_pylist() == [{"n": 0}]


def test_a_ledger_of_a_newer_version_is_refused(stand: Stand, workspace: Workspace) -> None:
    with sqlite3.connect(stand.place / "ledger.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(QueryError, match="newer version"):
        run_query(workspace, "SELECT 1")


def test_without_a_ledger_it_is_said_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NoLedgerError):
        run_query(Workspace.at(tmp_path / "var"), "SELECT 1")


def test_a_ledger_that_is_damaged_amid_its_rows_is_named_as_that(stand: Stand, workspace: Workspace) -> None:
    stand.ledger.close()
    file = stand.place / "ledger.sqlite"
    fill(Ledger(stand.ledger_url), 3_000, datetime.now(UTC))
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = bytearray(file.read_bytes())
    for page in range(len(whole) // 2, len(whole) - 4096, 4096):
        whole[page : page + 64] = b"\xff" * 64
    file.write_bytes(whole)
    with pytest.raises(QueryError) as failed:
        run_query(workspace, "SELECT * FROM changes ORDER BY key DESC")
    assert "memory" not in str(failed.value)
    assert "ledger" in str(failed.value)


def test_a_ledger_that_cannot_be_reached_is_named_without_its_login(tmp_path: Path) -> None:
    url = f"postgresql://someone:Boxk4mpfer@127.0.0.1:{free_port()}/x"
    with pytest.raises(QueryError) as failed:
        run_query(Workspace.at(tmp_path / "var", ledger_url=url), "SELECT 1")
    assert "check host and port in AUDITOR_LEDGER" in str(failed.value)
    assert "Boxk4mpfer" not in str(failed.value)
    assert "memory" not in str(failed.value)


# -- the command line


def test_sql_comes_from_an_argument_a_file_or_standard_input(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text("-- from a file\nSELECT 2 AS n;\n")
    wide = tmp_path / "wide.sql"
    wide.write_text("SELECT 'ä' AS n", encoding="utf-16")
    environment: dict[str, Any] = {"AUDITOR_LEDGER": f"sqlite:///{place.ledger}"}
    to: tuple[object, ...] = ("--json", "--data", place.data)
    assert '"n": 2' in auditor("query", "--file", file, *to, **environment).stdout
    assert '"ä"' in auditor("query", "-f", wide, *to, **environment).stdout
    assert '"n": 3' in auditor("query", "--three\nSELECT 3 AS n", *to, **environment).stdout
    done = ask(place, "\ufeffSELECT 4 AS n -- from standard input", 60, "--json")
    assert json.loads(done.out)["rows"] == [{"n": 4}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give the SQL as one argument, as --file FILE, or as - to read it from standard input"),
        (("SELECT 1", "--file", "x.sql"), "give the SQL as one argument"),
        (("--file", "/nowhere/x.sql"), "cannot read /nowhere/x.sql: No such file or directory"),
        (("--file", "/dev/null"), "there is no SQL in /dev/null"),
        (("--file", "/dev/zero"), "the SQL in /dev/zero is longer than 1 MiB"),
        (("SELECT 1", "--json", "--csv"), "choose one of --json and --csv"),
        (("SELECT 1", "--timeout", "soon"), "soon"),
    ],
)
def test_a_question_that_cannot_be_read_is_a_usage_error(words: tuple[str, ...], said: str, place: Place) -> None:
    done = auditor("query", *words, "--data", place.data, AUDITOR_LEDGER=f"sqlite:///{place.ledger}")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_rows_are_the_values_that_arrow_tells(filled: tuple[str, Lens]) -> None:
    table = answer(
        task(filled[0], "SELECT *, now()::TIMESTAMP AS naive, [1] AS list, 'infinity'::DATE AS d FROM changes")
    )
    assert table.num_rows > 1_000
    assert rows_of(table) == table.to_pylist()


@pytest.mark.parametrize(
    ("selected", "names"),
    [
        ("1 AS a, 2 AS a, 3 AS A", ["a", "a_1", "A_2"]),
        ("1 AS a, 2 AS a, 3 AS a_1, DATE '2026-01-01' - DATE '2025-01-01' AS d", ["a", "a_2", "a_1", "d"]),
        ('1 AS a, INTERVAL 2 DAY AS a, 3 AS "a""b"', ["a", "a_1", 'a"b']),
    ],
)
def test_columns_that_share_a_name_are_all_shown(selected: str, names: list[str], place: Place) -> None:
    table = answer(task(f"sqlite:///{place.ledger}", f"SELECT {selected}"))
    assert table.column_names == names
    assert len(rows_of(table)[0]) == len(names)
    head, row = ask(place, f"SELECT {selected}", 60, "--csv").out.decode().splitlines()
    assert head.count(",") == row.count(",") == len(names) - 1


def test_a_join_of_two_views_keeps_the_columns_of_both(place: Place) -> None:
    left, right = "SELECT 'x' AS flow, 1 AS n", "SELECT 'y' AS flow, 2 AS n"
    sql = f"SELECT a.flow, a.n, b.flow, b.n FROM ({left}) a LEFT JOIN ({right}) b ON false"
    assert answer(task(f"sqlite:///{place.ledger}", sql)).to_pylist() == [
        {"flow": "x", "n": 1, "flow_1": None, "n_1": None}
    ]


def test_a_table_names_columns_and_numbers_as_they_are(place: Place) -> None:
    shown = ask(place, "SELECT 1234567.25::DOUBLE AS lag_upper_s, count(*) FROM range(3)", 60).out.decode()
    assert "lag_upper_s" in shown
    assert "count_star()" in shown
    assert "1234567.25" in shown


def test_csv_holds_no_formula(place: Place) -> None:
    done = ask(place, "SELECT '=1+1' AS \"@a\", 'x' AS b, [1, 2] AS c, NULL AS d", 60, "--csv")
    assert done.out.decode().splitlines()[0] == "'@a,b,c,d"
    assert done.out.decode().splitlines()[1].startswith("'=1+1,x,")


def test_a_table_shows_long_values_in_part_and_says_so(place: Place) -> None:
    done = ask(place, "SELECT repeat('word ', 2000) AS text, range FROM range(3)", 60)
    assert done.code == 0
    assert len(done.out) < 100_000
    assert "--json and --csv show them whole" in done.err.decode()


def test_columns_are_known_of_every_table_that_a_view_reads() -> None:
    for view in VIEWS:
        assert set(re.findall(r"\{(\w+)\}", VIEWS[view])) - {"family"} <= COLUMNS.keys()
