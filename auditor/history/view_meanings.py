"""What the views and their columns mean, as docs/views.md says, which ships beside this file as `views.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("views.md")

_SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewMeaning:
    """What a view holds.

    Attributes:
        meaning: its first sentence, as Markdown without links.
        columns: by column, what it holds, as Markdown without links.
    """

    meaning: str
    columns: dict[str, str]


@cache
def view_meanings() -> dict[str, ViewMeaning]:
    """The documented views by name; none if the document is missing."""
    return meanings_of(_FILE.read_text()) if _FILE.is_file() else {}


def meanings_of(document: str) -> dict[str, ViewMeaning]:
    """The views that a document in the form of docs/views.md describes."""
    found = {}
    for name, body in _SECTION.findall(document):
        columns = {column: _LINK.sub(r"\1", words) for column, words in _ROW.findall(body)}
        if columns:
            said = " ".join(body.partition("\n|")[0].split())
            found[name] = ViewMeaning(meaning=_LINK.sub(r"\1", _first_sentence(said)), columns=columns)
    return found


def _first_sentence(text: str) -> str:
    match = re.match(r"(.*?[.])(?:\s|$)", text)
    return match[1] if match else text
