"""Mistakes that libraries find in a map (YAML errors, invalid settings), reworded for its author. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from probes.durations import Seconds, format_duration
from probes.wording import did_you_mean, figure

_PLAIN = re.compile(r"[\w .+-]{1,40}")
_EXPECTED = re.compile(r"'([^']*)'")
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_EXPECTATIONS = {
    "int": "write a whole number",
    "float": "write a number",
    "finite_number": "write a number that is not infinite",
    "decimal": "write a number",
    "bool": "write true or false",
    "string_type": "write text, in quotes if it looks like a number",
    "dict": "write a mapping: {NAME: VALUE}",
    "mapping": "write a mapping: {NAME: VALUE}",
    "model": "write a mapping of words: {WORD: VALUE}",
    "list": "write a list: [A, B]",
    "tuple": "write a list: [A, B]",
    "set": "write a list: [A, B]",
    "frozen_set": "write a list: [A, B]",
}


def of_settings(error: Mapping[str, Any]) -> str:
    """Reword one pydantic error, which carries its `input`."""
    kind, given, context = error["type"], error.get("input"), error.get("ctx") or {}
    if kind in {"literal_error", "enum"}:
        choices = _EXPECTED.findall(str(context.get("expected", "")))
        word = next((str(part) for part in reversed(error["loc"]) if isinstance(part, str)), "word")
        if isinstance(given, str) and _PLAIN.fullmatch(given) and choices:
            return f"unknown {word.replace('_', ' ')} {given!r}" + did_you_mean(given, choices)
        return f"write one of {', '.join(choices)}" if choices else "write one of the known words"
    if kind == "union_tag_invalid":
        choices = _EXPECTED.findall(context["expected_tags"])
        return f"unknown kind {_shown(context['tag'])}" + did_you_mean(str(context["tag"]), choices)
    if kind == "union_tag_not_found":
        return "kind is required: it decides which other keys there are"
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        if isinstance(given, Seconds):
            return f"must be {words} {format_duration(context[name])}; write for example 30s, 5m or 2h"
        return f"must be {words} {_number(context[name])}"
    if kind in {"too_short", "string_too_short"} and context.get("min_length") == 1:
        return "must not be empty"
    expected = next((text for start, text in _EXPECTATIONS.items() if kind.startswith(start)), None)
    message: str = error["msg"]
    return expected or message.removeprefix("Value error, ").replace("Input should", "must")


def of_yaml(error: Exception, text: str) -> tuple[int, int, str]:
    """Line, column and text of a YAML error; quotes no value."""
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return (
            line,
            column,
            f"the character U+{ord(text[error.position]):04X} is not allowed in YAML; write it escaped",
        )
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(error, DuplicateKeyError):
            key = re.search(r'duplicate key "([^"]*)"', str(error.problem))
            return line, column, f"the word {key[1] if key else ''} appears here twice; remove one"
        what = " ".join(str(error.problem or error.context or "not YAML").split())
        hint = ' (quote values that contain ${...} or ": ")' if "flow" in str(error) else ""
        return line, column, what + hint
    return (
        1,
        1,
        f"not YAML: a value is not of the form that it seems to have ({type(error).__name__}); put it in quotes",
    )


def _shown(given: Any) -> str:
    """A word as it was given, where it is hardly a secret."""
    return repr(given) if isinstance(given, str) and _PLAIN.fullmatch(given) else "here"


def _number(limit: Any) -> str:
    return figure(limit, 15) if isinstance(limit, float) else str(limit)
