"""The SQL clients people use, fed a file as people feed it: psql, mariadb, sqlite3."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa

PROGRAMS = {"postgresql": "psql", "mariadb": "mariadb", "sqlite": "sqlite3"}


@dataclass(slots=True, kw_only=True)
class Client:
    """One database, its driver for the test's own reads and writes, and its client for the file.

    Attributes:
        url: as it stands in a map.
    """

    kind: str
    url: str
    place: Path
    _connection: Any = field(init=False)

    def __post_init__(self) -> None:
        at = sa.make_url(self.url)
        if self.kind == "postgresql":
            self._connection = psycopg.connect(self.url, autocommit=True)
        elif self.kind == "mariadb":
            self._connection = pymysql.connect(
                host=at.host or "",
                port=at.port or 0,
                user=at.username,
                password=str(at.password),
                database=at.database,
                charset="utf8mb4",
                autocommit=True,
            )
        else:
            self._connection = sqlite3.connect(str(at.database), isolation_level=None)

    def close(self) -> None:
        self._connection.close()

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; a value stands at each `?`, a name has no percent sign."""
        if self.kind != "sqlite":
            sql = sql.replace("%", "%%").replace("?", "%s") if values else sql
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(sql, tuple(values) or None) if self.kind != "sqlite" else cursor.execute(sql, values)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def named(self, name: str) -> str:
        """A name as the test itself writes it."""
        mark = "`" if self.kind == "mariadb" else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def feed(
        self, text: str, *, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the client over a file in an empty folder, as a person would."""
        program = shutil.which(PROGRAMS[self.kind])
        assert program, f"{PROGRAMS[self.kind]} is not installed"
        folder = self.place / "fed"
        folder.mkdir(exist_ok=True)
        file = self.place / "repair.sql"
        file.write_bytes(text.encode("utf-8", "backslashreplace"))
        at = sa.make_url(self.url)
        if self.kind == "postgresql":
            command = [program, "--no-psqlrc", "--file", str(file), *options, self.url]
        elif self.kind == "mariadb":
            login = [f"--host={at.host}", f"--port={at.port}", f"--user={at.username}", f"--password={at.password}"]
            command = [program, *options, *login, str(at.database)]
        else:
            command = [program, *options, str(at.database)]
        with file.open("rb") as fed:
            return subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL if self.kind == "postgresql" else fed,
                env={**os.environ, **(environment or {})},
                capture_output=True,
                timeout=300,
                check=False,
            )

    def left_behind(self) -> list[str]:
        """Files that a client was made to write."""
        return sorted(each.name for each in (self.place / "fed").iterdir())
