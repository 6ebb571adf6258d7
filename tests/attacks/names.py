"""Names of tables and columns that end a quotation, begin a parameter or a format, or mean something to a server.

A table or column of such a name is read like any other: fetched, listed, followed by its stamps, counted and ranked,
and what is written for people to run names it rightly.
"""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "percent": "discount %",
    "two percents": "50%% off",
    "format": "%s and %(name)s",
    "percent in brackets": "%(id)s%",
    "parameter": "at :since",
    "parameter alone": ":x",
    "cast": "id::text",
    "question mark": "paid?",
    "double quote": 'the "real" id',
    "two double quotes": '""',
    "backtick": "a`b``c",
    "single quote": "o'clock",
    "dot": "order.id",
    "space": "order id",
    "leading space": " id",
    "umlaut": "Größe",
    "combining": "e\u0301tat",
    "right to left": "\u05de\u05d6\u05d4\u05d4",
    "braces": "{key}",
    "brackets": "[id]",
    "parentheses": "max(id)",
    "keyword": "select",
    "another keyword": "order",
    "star": "*",
    "comment": "id--",
    "block comment": "/* id */",
    "semicolon": "id; DROP TABLE x",
    "backslash": "a\\b",
    "comma": "a,b",
    "slash": "a/b",
    "dollar": "$id$",
    "at": "@id",
    "hash": "#id",
    "digits": "2026",
    "capitals": "OrderId",
    "line break": "a\nb",
    "tab": "a\tb",
    "longest": "n" * 63,
}
"""Names that PostgreSQL, MariaDB and SQLite all take."""

LONGEST_IN_MARIADB = "n" * 64
