"""Regular expressions and texts that keep an engine busy which tries one way after another.

Each is matched within a second, or the expression is refused when the map is read, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping

SLOW: Mapping[str, tuple[str, str]] = {
    "nested": ("(a+)+$", "a" * 40_000 + "!"),
    "nested stars": ("(a*)*b", "a" * 40_000),
    "alternatives": ("(a|a)*b", "a" * 40_000),
    "overlapping": ("(a|aa)+$", "a" * 40_000 + "!"),
    "words": (r"(\w+\s?)*$", "aaaa " * 8_000 + "!"),
    "address": (r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}", "a" * 40_000 + "!"),
    "two stars": (".*.*=.*", "x" * 40_000),
    "ten stars": (".*a.*a.*a.*a.*a.*a.*a.*a.*a.*a!", "a" * 20_000),
    "blanks": (r"\s+$", " " * 40_000 + "x"),
    "optional": ("(a?){30}a{30}", "a" * 29),
    "many optional": ("(x+x+)+y", "x" * 40_000),
    "without end": ("((((a*)*)*)*)*b", "a" * 40_000),
    "letters of all kinds": (r"(\w|\d|ü)*!", "ü1" * 20_000),
    "date": (r"(\d+-?)+$", "1" * 40_000 + "x"),
    "quoted": (r'"(\\.|[^"\\]|x)*"', '"' + "x" * 40_000),
    "in any case": ("(?i)(k|K|\u212a)*$", "kK\u212a" * 10_000 + "!"),
    "large and far": ("[^x]{0,1900}y", "a" * 1_000_000),
    "endless text": (r"\w+", "a" * 3_000_000),
}

REFUSED: Mapping[str, tuple[str, str]] = {
    "look-ahead": ("(?=a)b", "look-ahead"),
    "no look-ahead": ("(?!.*x).*", r"\[\^x\]\*"),
    "look-behind": ("(?<=a)b", "look-behind"),
    "no look-behind": ("(?<!a)b", "look-behind"),
    "back": (r"(a)\1", "back to a group"),
    "back by name": ("(?P<n>a)(?P=n)", "back to a group"),
    "condition": ("(a)?(?(1)b|c)", "conditions"),
    "nothing": ("(?!)", "look-ahead"),
    "end within": ("a$b", "at the end"),
    "no end": ("(a", "not a regular expression"),
    "star alone": ("*", "not a regular expression"),
    "unknown escape": (r"\y", "not a regular expression"),
    "backwards": ("[z-a]", "not a regular expression"),
    "too many": ("a{1,99999999}", "parts when its repetitions"),
    "many of many": ("((a{100}){100}){100}", "parts when its repetitions"),
    "beyond any number": ("a{99999999999999999999}", "not a regular expression"),
    "too long": ("a" * 5_000, "characters"),
    "too deep": ("(" * 900 + "a" + ")" * 900, "nested too deep"),
    "borders of two kinds": (r"\ba(?a:\b)", "borders of ASCII words"),
}
"""By name, an expression, and a part of what is said of it."""
