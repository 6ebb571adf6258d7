"""An archive with a file that cannot be used: it is named, the rest is answered, and what is missing is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.console.query import run_query
from auditor.history import lens as lenses
from auditor.history.archive import archive_settled
from auditor.history.archive_files import missing_since
from auditor.history.lens import Lens
from auditor.history.views import VIEWS
from auditor.workspace import Workspace
from tests.attacks.files import PARQUET
from tests.auditor.cli.process import auditor
from tests.stand import Stand

spoilt = pytest.mark.parametrize("spoil", PARQUET.values(), ids=PARQUET)


@pytest.fixture
def archived(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> tuple[Stand, Workspace, Path]:
    """An installation with two archive files of audits, of which one is to be spoilt."""
    monkeypatch.setattr(lenses, "LOOK_AGAIN_S", 0.0)
    workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
    stand.agree(5)
    for _ in range(5):
        stand.audit()
    archive_settled(stand.ledger, workspace.archive, datetime.now(UTC) + timedelta(seconds=5), keep_live_s=0)
    (bad,) = Path(workspace.archive).glob("probe_runs/*/*.parquet")
    stand.audit()
    archive_settled(stand.ledger, workspace.archive, datetime.now(UTC) + timedelta(seconds=5), keep_live_s=0)
    return stand, workspace, bad


def audits(lens: Lens) -> int:
    return int(lens.query("SELECT count(*) AS n FROM probe_runs").to_pylist()[0]["n"])


def counts(lens: Lens) -> dict[str, int]:
    return {view: int(lens.query(f"SELECT count(*) AS n FROM {view}").to_pylist()[0]["n"]) for view in VIEWS}


def read_all(lens: Lens) -> None:
    for view in VIEWS:
        lens.query(f"SELECT * FROM {view}")


@spoilt
def test_a_new_reader_goes_on_without_it_and_names_it(
    archived: tuple[Stand, Workspace, Path], spoil: Callable[[Path], None]
) -> None:
    stand, _, bad = archived
    rows = len(bad.read_bytes()) and rows_of(stand, bad)
    whole = Lens(stand.ledger)
    whole.refresh()
    before = counts(whole)
    assert whole.missing == []
    whole.close()
    spoil(bad)
    lens = Lens(stand.ledger)
    lens.refresh()
    read_all(lens)
    after = counts(lens)
    assert after["probe_runs"] == before["probe_runs"] - rows > 0
    assert {view: n for view, n in after.items() if view not in {"probe_runs", "coverage"}} == {
        view: n for view, n in before.items() if view not in {"probe_runs", "coverage"}
    }
    (missing,) = lens.missing
    assert (missing.source, missing.rows, missing.path) == ("probe_runs", rows, str(bad))
    assert missing.day == f"{datetime.now(UTC):%Y-%m-%d}"
    assert str(bad) in str(missing)
    assert "restore the file from a backup" in str(missing)
    lens.close()


def rows_of(stand: Stand, path: Path) -> int:
    _, files = stand.ledger.exports.snapshot({}, files_since=0)
    return next(file.rows for file in files if file.path == str(path))


@spoilt
def test_a_running_reader_goes_on_and_sees_it_again_when_it_is_restored(
    archived: tuple[Stand, Workspace, Path], spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    stand, _, bad = archived
    kept = tmp_path / "kept"
    shutil.copy(bad, kept)
    lens = Lens(stand.ledger)
    lens.refresh()
    before = audits(lens)
    spoil(bad)
    read_all(lens)
    stand.audit()
    lens.refresh()
    read_all(lens)
    # DuckDB may keep what it has read; what cannot be read is named, and never makes a query fail.
    assert [each.path for each in lens.missing] in ([], [str(bad)])
    if bad.is_dir():
        bad.rmdir()
    bad.unlink(missing_ok=True)
    shutil.copy(kept, bad)
    lens.refresh()
    assert lens.missing == []
    assert audits(lens) == before + 1
    lens.close()


@pytest.mark.parametrize("name", ["gone", "a footer of four gigabytes", "data overwritten", "another schema"])
def test_sql_is_answered_with_a_warning_where_the_query_needs_it(
    archived: tuple[Stand, Workspace, Path], name: str
) -> None:
    _, workspace, bad = archived
    PARQUET[name](bad)
    result = run_query(workspace, "SELECT flow, read FROM probe_runs")
    assert result.table.num_rows > 0
    (warning,) = result.warnings
    assert str(bad) in warning
    assert run_query(workspace, "SELECT * FROM changes").warnings == ()
    assert len(run_query(workspace, "SELECT * FROM coverage").warnings) == 1


def test_the_command_line_names_it_and_does_not_end_well(archived: tuple[Stand, Workspace, Path]) -> None:
    stand, workspace, bad = archived
    bad.write_bytes(b"")
    environment: dict[str, Any] = {"AUDITOR_LEDGER": stand.ledger_url}
    places = ["--data", workspace.folder, "--map", stand.map_file]
    for command in (["lag"], ["coverage"], ["backlog", "--since", "24h"], ["backlog", "--funnel"], ["letters"]):
        stand.audit()
        done = auditor(*command, *places, "--json", **environment)
        told = done.stderr
        assert str(bad) in told, command
        assert done.returncode == 3, command
        for row in json.loads(done.stdout):
            assert any(str(bad) in each for each in row["incomplete"])
    done = auditor("query", "SELECT 1 FROM probe_runs", "--data", workspace.folder, "--json", **environment)
    assert done.returncode == 3
    assert str(bad) in json.loads(done.stdout)["incomplete"][0]
    assert str(bad) in done.stderr


def test_a_file_that_is_older_than_the_range_is_no_concern_of_a_figure(
    archived: tuple[Stand, Workspace, Path],
) -> None:
    stand, _, bad = archived
    bad.unlink()
    lens = Lens(stand.ledger)
    lens.refresh()
    now = datetime.now(UTC)
    assert len(missing_since(lens.missing, now - timedelta(hours=1))) == 1
    assert missing_since(lens.missing, now + timedelta(days=1)) == []
    assert missing_since(lens.missing, None, now - timedelta(days=2)) == []
    lens.close()
