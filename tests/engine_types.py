"""The built-in types of each engine, as its own catalogue or its own help has them."""

from __future__ import annotations

import re
import sqlite3

import psycopg
import pymysql
import sqlalchemy as sa


def of_postgresql(url: str) -> set[str]:
    """Types that a column can have: no pseudo-types, no rows of catalogues, no arrays of other types."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace "
            "AND typtype NOT IN ('p', 'c') AND NOT (typcategory = 'A' AND typname LIKE '\\_%')"
        )
        return {str(name) for (name,) in rows}


def of_mariadb(url: str) -> dict[str, str]:
    """What the server's help and plug-ins name that can be a column's type, and what its catalogue then calls it."""
    at = sa.make_url(url)
    made: dict[str, str] = {}
    with pymysql.connect(
        host=at.host or "", port=at.port or 0, user=at.username, password=str(at.password), database=at.database
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT t.name FROM mysql.help_topic t JOIN mysql.help_category c USING (help_category_id) "
            "WHERE c.name IN ('Data Types', 'Geographic Features') UNION "
            "SELECT plugin_name FROM information_schema.all_plugins WHERE plugin_type = 'DATA TYPE'"
        )
        words = {
            word.strip()
            for (topic,) in cursor.fetchall()
            for word in re.split(r",| and ", re.sub(r"\\| Data Types?", "", topic))
            if re.fullmatch(r"[A-Za-z][A-Za-z0-9 ]*", word.strip())
        }
        for word in sorted(words):
            for form in (word, f"{word}(5)", f"{word}('a','b')"):
                try:
                    cursor.execute(f"CREATE OR REPLACE TABLE every_type (c {form})")
                except pymysql.MySQLError:
                    continue
                cursor.execute(
                    "SELECT lower(data_type) FROM information_schema.columns WHERE table_schema = database() "
                    "AND table_name = 'every_type'"
                )
                made[word] = str(cursor.fetchall()[0][0])
                break
        cursor.execute("DROP TABLE IF EXISTS every_type")
    return made


def of_sqlite() -> set[str]:
    """SQLite's storage classes."""
    with sqlite3.connect(":memory:") as database:
        found = database.execute("SELECT typeof(1), typeof(1.5), typeof('a'), typeof(x'00'), typeof(NULL)").fetchone()
    return {str(name).upper() for name in found}
