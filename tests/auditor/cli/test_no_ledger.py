"""A place without an installation, or with a file in it that is no ledger: said, and left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.ledger import Ledger
from tests.auditor.map.test_loader import GOOD

READING = ("status", "lag", "coverage", "backlog", "letters", "drift", "incidents", "repair", "conflicts", "query")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AUDITOR_MAP", "AUDITOR_DATA", "AUDITOR_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "plumbline.yaml").write_text(GOOD)
    return tmp_path


def words_of(command: str) -> list[str]:
    return {"query": ["query", "SELECT 1"]}.get(command, [command])


@pytest.mark.parametrize("command", READING)
def test_a_mistyped_folder_makes_no_installation(place: Path, command: str) -> None:
    for extra in ([], ["--json"]) if command != "repair" else ([],):
        done = CliRunner().invoke(app, [*words_of(command), "--data", "vra", *extra])
        assert done.exit_code == 3, done.output
        assert "there is no ledger in" in done.stderr
        assert ('{"error"' in done.stdout) == bool(extra)
    assert not (place / "vra").exists()


def foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE orders (id integer)")


def of_a_newer_version(file: Path) -> None:
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    ledger.close()
    with closing(sqlite3.connect(file)) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")


LEDGERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda file: file.touch(), "is empty (0 bytes)"),
    "folder": (lambda file: file.mkdir(), "is a folder, not a file"),
    "of another program": (foreign, "the database of another program"),
    "newer": (of_a_newer_version, "newer version"),
    "text": (lambda file: file.write_text("id;name\n" * 200), "not a SQLite database"),
}


@pytest.mark.parametrize("command", [*READING, "once"])
@pytest.mark.parametrize("kind", LEDGERS)
def test_a_file_that_is_no_ledger_is_said_to_be_none_and_left(place: Path, kind: str, command: str) -> None:
    make, said = LEDGERS[kind]
    file = place / "var" / "ledger.sqlite"
    file.parent.mkdir()
    make(file)
    before = file.read_bytes() if file.is_file() else b""
    done = CliRunner().invoke(app, words_of(command))
    assert done.exit_code in {2, 3}, done.output
    assert said in done.stderr, done.stderr
    if kind != "newer":
        assert (file.read_bytes() if file.is_file() else b"") == before
        assert {each.name for each in file.parent.iterdir()} <= {"ledger.sqlite", "digest.key"}
