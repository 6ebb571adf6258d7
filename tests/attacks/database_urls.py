"""Spellings of database URLs that try to open a file for writing, to make one, or to unlock a session.

Nothing is made or changed by reading through any of them. Each is read, or refused in words that repeat no secret.
"""

from __future__ import annotations

from collections.abc import Mapping

SQLITE: Mapping[str, str] = {
    "whole path": "sqlite:///{path}",
    "relative": "sqlite:///{relative}",
    "fragment": "sqlite:///{path}#",
    "fragment with a word": "sqlite:///{path}#x",
    "encoded fragment": "sqlite:///{path}%23",
    "address": "sqlite:///file:{path}",
    "address and fragment": "sqlite:///file:{path}#",
    "address and fragment with a mode": "sqlite:///file:{path}#?mode=rwc",
    "address and encoded fragment": "sqlite:///file:{path}%23",
    "address and encoded question mark": "sqlite:///file:{path}%3Fmode=rwc",
    "address with a mode": "sqlite:///file:{path}?mode=rwc&uri=true",
    "address with two modes": "sqlite:///file:{path}?mode=ro&mode=rwc",
    "a mode in a parameter": "sqlite:///file:{path}?cache=private%26mode=rwc",
    "a mode behind a fragment": "sqlite:///file:{path}?cache=private%23&mode=ro",
    "mode": "sqlite:///{path}?mode=rwc",
    "mode in capitals": "sqlite:///{path}?MODE=rwc",
    "mode of memory": "sqlite:///{path}?mode=memory",
    "read-only": "sqlite:///{path}?mode=ro",
    "immutable": "sqlite:///{path}?immutable=1",
    "no locks": "sqlite:///{path}?nolock=1",
    "shared cache": "sqlite:///{path}?cache=shared",
    "locks as files": "sqlite:///{path}?vfs=unix-dotfile",
    "exclusive": "sqlite:///{path}?vfs=unix-excl",
    "in memory": "sqlite:///{path}?vfs=memdb",
    "local host": "sqlite:///file://localhost{path}",
    "other host": "sqlite:///file://elsewhere{path}",
    "empty host": "sqlite:///file://{path}",
    "NUL": "sqlite:///file:{path}%00.other",
    "memory": "sqlite:///:memory:",
    "memory as address": "sqlite:///file::memory:",
    "nothing": "sqlite://",
    "nothing behind slashes": "sqlite:///",
    "nothing behind file": "sqlite:///file:",
    "two slashes": "sqlite://{relative}",
    "login": "sqlite://someone:Boxk4mpfer@/{path}",
    "folder": "sqlite:///{folder}",
    "device": "sqlite:////dev/zero",
    "absent": "sqlite:///{path}.absent",
    "absent as address": "sqlite:///file:{path}.absent#",
    "journal": "sqlite:///{path}?journal_mode=delete",
    "driver": "sqlite+pysqlite:///{path}",
    "extension": "sqlite:///{path}?enable_load_extension=1",
}
"""With the `path` of a database, its `relative` path, and its `folder`."""

UNLOCKING_POSTGRESQL: Mapping[str, str] = {
    "option": "options=-c%20default_transaction_read_only%3Doff",
    "option without a space": "options=-cdefault_transaction_read_only%3Doff",
    "long option": "options=--default-transaction-read-only%3Doff",
    "option in capitals": "options=-c%20DEFAULT_TRANSACTION_READ_ONLY%3DOFF",
    "second option": "options=-c%20search_path%3Dpublic%20-c%20default_transaction_read_only%3D0",
    "escaped option": "options=-c%20default_transaction_read_onl\\y%3Doff",
    "of this transaction": "options=-c%20transaction_read_only%3Doff",
    "time": "options=-c%20statement_timeout%3D0",
    "twice": "options=-c%20work_mem%3D1MB&options=-c%20default_transaction_read_only%3Doff",
    "replication": "replication=database",
    "autocommit": "autocommit=false",
    "another way": "options=-h%20elsewhere",
}
UNLOCKING_MARIADB: Mapping[str, str] = {
    "first statement": "init_command=SET%20SESSION%20tx_read_only%3D0",
    "local files": "local_infile=1",
    "local files in another word": "allow_local_infile=1",
    "autocommit": "autocommit=0",
    "flags": "client_flag=65536",
    "cursor": "cursorclass=x",
    "mode": "sql_mode=ANSI",
    "time": "read_timeout=100000",
    "conversion": "conv=x",
}
