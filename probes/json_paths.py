"""JSONPaths evaluated on documents from outside, in bounded time and memory.

The library's own `findall` keeps the written path of every node it visits, which can take gigabytes for a long name
above many items, decodes a document given as text again, and does not limit the nodes that it visits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathMatch
from jsonpath.exceptions import JSONPathError, JSONPathRecursionError, JSONPathSyntaxError
from jsonpath.filter import RegexLiteral, StringLiteral
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.parse import Parser

from probes.patterns import PatternError, pattern

DESCENTS = 100
"""Levels that `..` descends in the library."""

STEPS = 5_000
"""Most nodes visited for one path in one message: a tenth of a second at most, and far more than a message has."""


class PathError(ValueError):
    """A path cannot be evaluated on a document; the text says why and quotes nothing of the document."""


class _Steps:
    """How many nodes may still be visited."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PathError("more places to look for what stands at its path than a message is given")


class _Node(JSONPathMatch):
    """A counted node that stores neither its written path nor its children."""

    __slots__ = ("steps",)

    def __init__(
        self, *, obj: object, root: Any, parent: _Node | None = None, steps: _Steps | None = None, **_: Any
    ) -> None:
        super().__init__(filter_context={}, obj=obj, parent=None, path="", parts=(), root=root)
        self.steps: _Steps | None = parent.steps if parent is not None else steps
        if self.steps is not None:
            self.steps.take()

    def new_child(self, obj: object, key: int | str) -> _Node:
        return _Node(obj=obj, root=self.root, parent=self)

    def add_child(self, *children: object) -> None:
        """Children are never used."""


class _Regular(FilterFunction):
    """`match()` and `search()` of RFC 9535, in time proportional to the text.

    Args:
        whole: the whole text must match.
    """

    arg_types: ClassVar[list[ExpressionType]] = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __call__(self, value: object, expression: object) -> bool:
        """Whether a text matches; other values, and invalid expressions in a document, never do."""
        if not isinstance(value, str) or not isinstance(expression, str):
            return False
        try:
            ready = pattern(expression)
        except PatternError:
            return False
        return ready.fullmatch(value) if self._whole else ready.search(value)


class _Parser(Parser):
    """Reads a path whose regular expressions are those of `probes.patterns`."""

    def parse_regex(self, stream: Any) -> Any:
        """An expression between slashes."""
        token = stream.current()
        try:
            literal = super().parse_regex(stream)
        except (re.error, OverflowError, RecursionError) as error:
            raise JSONPathSyntaxError(f"not a regular expression: {error}", token=token) from None
        assert isinstance(literal, RegexLiteral)
        literal.value = _ready(token, literal.value.pattern, literal.value.flags & ~re.UNICODE)
        return literal

    def parse_function_extension(self, stream: Any) -> Any:
        """A call, with its expression checked if it is written in the path."""
        token = stream.current()
        call: Any = super().parse_function_extension(stream)
        if token.value in _REGULAR and len(call.args) == 2 and isinstance(call.args[1], StringLiteral):
            _ready(token, call.args[1].value, 0)
        return call


def _ready(token: Any, text: str, flags: int) -> Any:
    try:
        return pattern(text, flags)
    except PatternError as error:
        raise JSONPathSyntaxError(str(error), token=token) from None


_REGULAR = {"match": _Regular(whole=True), "search": _Regular(whole=False)}


class _Environment(JSONPathEnvironment):
    parser_class = _Parser

    def setup_function_extensions(self) -> None:
        """The library's functions, and our own for regular expressions."""
        super().setup_function_extensions()
        self.function_extensions |= _REGULAR


_ENVIRONMENT = _Environment()


@lru_cache(maxsize=1024)
def compiled(path: str) -> Any:
    """A compiled JSONPath.

    Raises:
        JSONPathError: the path is invalid.
    """
    return _ENVIRONMENT.compile(path)


def first(path: str, document: Any, *, most: int = STEPS) -> Any:
    """The first value at a path, None if there is none.

    Args:
        most: the most nodes to visit.

    Raises:
        PathError: it cannot be determined.
    """
    try:
        return next(_found(compiled(path), document, _Steps(most)), None)
    except (JSONPathError, RecursionError, TypeError, ValueError) as error:
        raise _why(error) from None


def every(path: str, document: Any) -> list[Any]:
    """All values at a path.

    Raises:
        PathError: they cannot be determined.
    """
    try:
        return list(_found(compiled(path), document, None))
    except (JSONPathError, RecursionError, TypeError, ValueError) as error:
        raise _why(error) from None


def _why(error: Exception) -> PathError:
    if isinstance(error, PathError):
        return error
    if isinstance(error, PatternError):
        return PathError(f"a document that a path with match() or search() cannot be followed through: {error}")
    if isinstance(error, JSONPathRecursionError | RecursionError):
        return PathError(f"JSON nested deeper than {DESCENTS} levels below what its path descends from")
    return PathError("a document that its path cannot be followed through")


def _found(path: Any, document: Any, steps: _Steps | None) -> Iterator[Any]:
    if isinstance(path, CompoundJSONPath):
        values = _found(path.path, document, steps)
        for joined, further in path.paths:
            more = _found(further, document, steps)
            if joined == path.env.union_token:
                values = chain(values, more)
            else:
                both = list(more)
                values = iter([each for each in values if each in both])
        return values
    assert isinstance(path, JSONPath)
    root = [document] if path.pseudo_root else document
    nodes: Any = [_Node(obj=root, root=document, steps=steps)]
    for segment in path.segments:
        nodes = segment.resolve(nodes)
    return (node.obj for node in nodes)
