"""Whether a file is a ledger or may become one, checked before it is opened in a way that changes it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from auditor.ledger.tables import metadata

ELSEWHERE = "name another folder with --data, or another file in AUDITOR_LEDGER"

NAME_SHOWN = 200
"""Most characters shown of a name, which may be longer than any file name."""


def why_none(file: Path) -> str:
    """Why an existing file is not a ledger, and what to do; "" if it is one or may become one."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"cannot look at the ledger {str(file)[:NAME_SHOWN]}: {error.strerror}; {ELSEWHERE}"
    if file.is_dir():
        return f"the ledger {file} is a folder, not a file; {ELSEWHERE}"
    if not file.is_file():
        return ""
    if not file.stat().st_size and not file.with_name(f"{file.name}-wal").exists():
        return (
            f"the ledger {file} is empty (0 bytes), so what it held is lost: restore a backup, "
            "or delete it to start a new one"
        )
    tables = _tables(file)
    if tables and not tables & {"alembic_version", *metadata.tables}:
        return f"{file} is the database of another program, not a ledger, and is left as it is; {ELSEWHERE}"
    return ""


def _tables(file: Path) -> set[str]:
    """The names of its tables; none if it is unreadable, which opening it will report."""
    # An idle file is read as immutable, because the check must not create files next to it.
    idle = "" if file.with_name(f"{file.name}-wal").exists() else "&immutable=1"
    try:
        address = f"file:{quote(str(file.absolute()))}?mode=ro{idle}"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as looked_at:
            return {name for (name,) in looked_at.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return set()
