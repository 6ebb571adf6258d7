"""YAML within bounds: how large and how deep a file may be, and how far its aliases may expand.

People write maps, and a few lines of YAML can expand to gigabytes. Every limit is checked before the value it limits
is built, and reports the place in the file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

FILE_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest file of a map: a flow takes some 500 bytes, and reading this much takes half a minute."""

SECRET_LIMIT_BYTES = 64 * 1024
"""The largest file that `${file:PATH}` reads: a certificate has some kilobytes."""

ENTRIES_LIMIT = 20_000
"""Files and folders searched for a map's files; a folder with more is not a map."""

DEPTH_LIMIT = 64
"""How deep a map may be nested: its own settings reach ten levels, the body of a request some more."""

VALUES_LIMIT = 500_000
"""Values that one file may hold with its aliases expanded: more than any file of this size holds itself."""

LONGEST_TEXT = 100_000
"""Characters of one value: more is never written by hand."""

_STANDARD = "tag:yaml.org,2002:"
_TAGS = frozenset(f"{_STANDARD}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge"))


class NotTextError(ValueError):
    """A file's content cannot be a map.

    Attributes:
        line: the line up to which it is valid text.
    """

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def read_text(file: Path, limit: int = FILE_LIMIT_BYTES) -> str:
    """The text of a file of at most `limit` bytes.

    Raises:
        NotTextError: it is larger or not UTF-8; says what to do.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise NotTextError(
            f"is larger than {limit:,} bytes, which no map is; split it into several files in a folder"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotTextError("is not UTF-8 text; save it as UTF-8", line) from None


def files_in(folder: Path) -> Iterator[Path]:
    """Everything in a folder and the folders in it.

    Raises:
        NotTextError: it holds more than any map's folder would.
    """
    for number, each in enumerate(folder.rglob("*")):
        if number >= ENTRIES_LIMIT:
            raise NotTextError(f"holds more than {ENTRIES_LIMIT:,} files and folders; name the map's own folder")
        yield each


def load(text: str, *, keep_quotes: bool = False) -> Any:
    """The document in a YAML text, with its places; None for an empty one.

    Args:
        keep_quotes: for `dump`.

    Raises:
        YAMLError: the text is not YAML or exceeds a limit; with the place.
    """
    yaml = _bounded()
    yaml.preserve_quotes = keep_quotes
    return yaml.load(text)


def dump(document: Any) -> str:
    """A part of a document as written, each value on one line."""
    yaml = _bounded()
    yaml.width, yaml.preserve_quotes = 1 << 20, True
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _bounded() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Composer, yaml.Constructor = _Composer, _Constructor
    return yaml


class _Composer(Composer):
    """Composes nodes and counts the values that each one expands to."""

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._values: dict[int, int] = {}
        self._open: set[str] = set()

    def compose_document(self) -> Any:
        started = self.parser.peek_event()
        if isinstance(started, DocumentStartEvent) and started.version not in {None, (1, 2)}:
            raise _limit("a map is YAML 1.2; remove the line that begins with %YAML", started.start_mark)
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if self.depth >= DEPTH_LIMIT and not isinstance(event, AliasEvent):
            raise _limit(f"this is nested more than {DEPTH_LIMIT} levels deep, which no map is", event.start_mark)
        alias = isinstance(event, AliasEvent)
        if alias and event.anchor in self._open:
            raise _limit(f"the alias *{event.anchor} refers to itself; write it out", event.start_mark)
        if not alias and event.anchor is not None:
            self._open.add(event.anchor)
        node = super().compose_node(parent, index)
        if not alias:
            self._open.discard(event.anchor)
            self._check(node)
            self._values[id(node)] = 1 + sum(self._values[id(each)] for each in _parts(node))
        if self._values[id(node)] > VALUES_LIMIT:
            raise _limit(
                f"with its aliases put in, this is more than {VALUES_LIMIT:,} values; write out what is meant",
                event.start_mark,
            )
        return node

    def _check(self, node: Any) -> None:
        tag = str(node.ctag) if node.ctag is not None else ""
        if tag.startswith("!") or (tag and tag not in _TAGS and not _implied(node, tag)):
            shown = tag.replace(_STANDARD, "!!")[:60]
            raise _limit(
                f"a map has no tags, and {shown} is one; take it away, or put the value in quotes", node.start_mark
            )
        if isinstance(node, ScalarNode) and len(node.value) > LONGEST_TEXT:
            raise _limit(
                f"a value of {len(node.value):,} characters, and up to {LONGEST_TEXT:,} are read; "
                "put a long secret into a file and write ${file:PATH}",
                node.start_mark,
            )


def _implied(node: Any, tag: str) -> bool:
    """Whether a tag was not written but inferred from the form of a value, like a date's."""
    return isinstance(node, ScalarNode) and node.style is None and tag == f"{_STANDARD}timestamp"


def _parts(node: Any) -> list[Any]:
    if isinstance(node, SequenceNode):
        return list(node.value)
    return [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else []


class _Constructor(RoundTripConstructor):
    """Makes values from nodes; a failure is reported with its place."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            made = super().construct_object(node, deep=deep)
        except MarkedYAMLError:
            raise
        except (ValueError, OverflowError, ArithmeticError, TypeError, AttributeError) as error:
            raise ConstructorError(None, None, _unmade(node, error), node.start_mark) from None
        if isinstance(made, float) and not math.isfinite(made):
            raise ConstructorError(
                None, None, "write a number that is finite, or put the text in quotes", node.start_mark
            )
        return made


def _unmade(node: Any, error: Exception) -> str:
    value = node.value if isinstance(node, ScalarNode) else ""
    if isinstance(value, str) and len(value) > 1_000 and value.lstrip("+-").replace("_", "").isdigit():
        return f"a number of {len(value):,} digits cannot be read; put it in quotes if it is a text"
    return f"a value is not of the form that it seems to have ({type(error).__name__}); put it in quotes"


def _limit(message: str, mark: Any) -> MarkedYAMLError:
    return MarkedYAMLError(None, None, message, mark)
