"""Which files are a ledger, or may become one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from auditor.ledger import Ledger
from auditor.ledger.own_file import why_none


def test_what_is_no_ledger_is_told_before_it_is_opened(tmp_path: Path) -> None:
    assert why_none(tmp_path / "new.sqlite") == ""
    assert "is a folder" in why_none(tmp_path)
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert "is empty (0 bytes)" in why_none(empty)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE todo (id INTEGER)")
    connection.close()
    assert "the database of another program" in why_none(other)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty.sqlite", "other.sqlite"]


def test_a_ledger_is_one(tmp_path: Path) -> None:
    made = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    made.migrate()
    made.close()
    assert why_none(tmp_path / "ledger.sqlite") == ""
