"""Further places that are attacked: what is written for people, spoilt files, names of the dashboard."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.hostile import places
from benchmarks.hostile.attacked import timed


def _command(*words: str) -> tuple[int, str]:
    """The exit code of a command and what it printed. Raises AssertionError where it failed without a name."""
    from typer.testing import CliRunner

    import auditor.cli  # noqa: F401  the commands
    from auditor.cli.options import app

    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"auditor {words[0]}: {type(done.exception).__name__}: {done.exception}")
    return done.exit_code, done.output if done.exit_code else done.stdout


def repairs(map_text: str, folder: str, flows: int) -> list[str]:
    """An audit of flows f0, f1 and so on; then what is written to repair each, in JSON, CSV and SQL.

    SQL repairs the record in question, or says in a comment why it cannot be written.
    """
    told = [line for line in places.audit(map_text, folder) if not line.startswith(("{", "["))]
    for at in range(flows):

        def written(at: int = at) -> str:
            for format_ in ("json", "csv", "sql"):
                code, text = _command("repair", "--flow", f"f{at}", "--format", format_)
                if code:
                    raise AssertionError(f"repair f{at} --format {format_} ended with {code}: {text[:300]}")
                if format_ == "json":
                    json.loads(text)
                if format_ == "sql":
                    with closing(sqlite3.connect(f"{folder}/copy.sqlite")) as database:
                        database.executescript(text)
                        if database.total_changes != 1 and f"-- f{at}: t{at} k: " not in text:
                            raise AssertionError(f"{database.total_changes} records repaired instead of 1: {text!r}")
            return "written"

        told.append(timed(written))
    return told


def proposals(names: Sequence[str]) -> list[str]:
    """The map that is proposed for systems of such names: it has the parts that it should have, and no others."""
    from ruamel.yaml import YAML

    from auditor.systems.proposed_map import as_yaml, new_system
    from tests.auditor.systems.test_discovered_texts import found_with

    def proposed() -> str:
        for name in names:
            written = as_yaml(
                found_with(name), (new_system("crm", "sql", "${CRM}"), new_system("dwh", "sql", "${DWH}"))
            )
            document = YAML(typ="safe").load(written)
            if set(document) != {"version", "systems", "data_types", "flows"} or len(document["flows"]) != 2:
                raise AssertionError(f"{name!r} made a part of the map")
        return f"{len(names)} proposed"

    return [timed(proposed)]


def formulas(map_text: str, folder: str) -> list[str]:
    """An audit; no cell of what is written for a spreadsheet begins like a formula."""
    told = places.audit(map_text, folder)
    _, text = _command("repair", "--format", "csv")
    for row in csv.reader(io.StringIO(text)):
        for each in row:
            if each[:1] in set("=+-@\t\r") and not each[1:].replace(".", "").isdigit():
                raise AssertionError(f"a cell of CSV is a formula: {each[:40]!r}")
    return told


def archive(folder: str, name: str) -> list[str]:
    """An installation of whose archive one file is spoilt: every view is answered."""
    from auditor.history.archive import archive_settled
    from auditor.history.lens import Lens
    from auditor.history.views import VIEWS
    from auditor.workspace import Workspace
    from tests.attacks.files import PARQUET
    from tests.stand import Stand

    stand = Stand(Path(folder))
    workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
    stand.agree(5)
    for _ in range(5):
        stand.audit()
    soon = datetime.now(UTC) + timedelta(seconds=5)
    archive_settled(stand.ledger, workspace.archive, soon, keep_live_s=0)
    (bad,) = Path(workspace.archive).glob("probe_runs/*/*.parquet")
    PARQUET[name](bad)

    def read() -> str:
        lens = Lens(stand.ledger)
        lens.refresh()
        for view in VIEWS:
            lens.query(f"SELECT * FROM {view}")
        missing = [str(each) for each in lens.missing]
        lens.close()
        if not any(str(bad) in each for each in missing):
            raise AssertionError(f"{bad.name} is not named as missing: {missing}")
        return missing[0][:1_900]

    told = [timed(read)]
    stand.close()
    return told


def ledger(folder: str, name: str) -> list[str]:
    """A ledger that is spoilt: the commands say which, and what is wrong with it."""
    from auditor.ledger import Ledger
    from tests.attacks.files import LEDGERS

    file = Path(folder) / "ledger.sqlite"
    made = Ledger(f"sqlite:///{file}")
    made.migrate()
    made.close()
    LEDGERS[name](file)
    os.environ |= {"AUDITOR_LEDGER": f"sqlite:///{file}", "AUDITOR_DATA": folder}

    def asked() -> str:
        code, text = _command("incidents", "--all")
        if code != 3 or "ledger.sqlite" not in text.replace("\n", ""):
            raise AssertionError(f"ended with {code}: {text[:300]}")
        return text[:1_900]

    return [timed(asked)]


def dashboard(port: int, host: str) -> list[str]:
    """A request under another name: no page and no WebSocket is given."""
    from tests.auditor.dashboard import test_access

    def asked() -> str:
        for path in test_access.PATHS:
            status, _ = test_access.get(port, path, f"Host: {host}")
            if status not in {400, 421}:
                raise AssertionError(f"{path} was answered with {status}")
        status = test_access.shake(port, f"Host: {host}", f"Origin: http://{host}")
        if status not in {400, 421}:
            raise AssertionError(f"the WebSocket was answered with {status}")
        return f"refused with {status}"

    return [timed(asked)]
