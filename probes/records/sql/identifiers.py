"""Names of tables and columns for statements that people run, or the reason why they cannot be written. Pure.

A name means itself whatever the client takes the file's encoding to be: PostgreSQL's names are pure ASCII, SQLite's
client reads UTF-8 alone, and MySQL's, which has no escape for a name, stand there without backticks: a client that
takes UTF-8 for GBK or Shift JIS reads the last byte of a name and a closing backtick as one character.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from probes.records.sql.literals import NoLiteralError, is_unseen

_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")
_QUOTES = {"mariadb": "`", "mysql": "`"}


def identifier(dialect: sa.Dialect, name: str) -> str:
    """The name for a statement, quoted if necessary.

    Raises:
        NoLiteralError: it cannot be written there.
    """
    if _SIMPLE.fullmatch(name):
        preparer: Any = dialect.identifier_preparer
        return str(preparer.quote(name))
    if not name:
        raise NoLiteralError("a name that is empty")
    if "\0" in name:
        raise NoLiteralError("a name with a NUL character, which cuts a statement short")
    unseen = any(map(is_unseen, name))
    if dialect.name in _QUOTES and not name.isascii():
        if not re.fullmatch(r"[^\W\d]\w*", name) or max(name) > "\uffff":
            raise NoLiteralError(
                "a name of letters beyond ASCII and signs, which a client with another encoding would end elsewhere"
            )
        return name
    mark = _QUOTES.get(dialect.name, '"')
    if dialect.name == "postgresql" and (unseen or not name.isascii()):
        return f'U&"{"".join(map(_escaped, name))}"'
    if unseen:
        raise NoLiteralError("a name with a character that cannot be seen")
    if dialect.name in _QUOTES and "\\" in name:
        raise NoLiteralError("a name with a backslash, which some clients take for the beginning of a command")
    return mark + name.replace(mark, mark * 2) + mark


def _escaped(character: str) -> str:
    """A character inside PostgreSQL's U&"..."."""
    if character in '"\\':
        return character * 2
    if character.isascii() and not is_unseen(character):
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        raise NoLiteralError("a name with half a character")
    return f"\\{code:04x}" if code < 0x10000 else f"\\+{code:06x}"
