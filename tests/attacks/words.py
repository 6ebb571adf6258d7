"""Words on a command line that nobody means. Whatever command is given one ends with a sentence and an exit code.

What must hold: no traceback and no name of an exception, nothing on the terminal that acts, nothing made on the disk.
"""

from __future__ import annotations

EVERYWHERE = ("a" * 5_000, "a\0b", "\udcff\x1b[2J\x07")
"""Longer than any file's name; with NUL; with a byte that is no text, and escape sequences."""

DIGITS = "9" * 1_000_000

WORDS = (
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        "-5",
        "-5m",
        "0x10",
        "1e999999999",
        "9" * 5_000,
        "nan",
        "inf",
        "-inf",
        "\u0663",
        "²",
    ),
    *(".x", "..", "../../../../../../../../etc", "/nowhere/at/all", "/dev/full", "/dev/null", "folder", "~", "~root"),
    *("x/" * 2_500, "\n", "\ud800", "\u202e", "\U0001f600", "*", "%s%n{0}{x}", "${HOME}", "$(id)", "`id`"),
    *("'; DROP TABLE x; --", "{'a': 1}", "[bold]x[/nothing]", "x,x", "999999999999d", "1e5s", "none", "a=b", "@file"),
)
