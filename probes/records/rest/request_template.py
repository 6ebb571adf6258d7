"""The map's request templates: a GET by its path, or a POST that only reads.

Values are inserted so that they arrive exactly: percent-encoded in a path and a query, as JSON in a body. A value
that cannot be sent exactly is refused, never folded into something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jsonpath.exceptions import JSONPathError
from pydantic import Field, ValidationError, field_validator

from probes import json_paths
from probes.contract import Key, ProbeError, Reason
from probes.settings import PluginSettings

_PLACE = re.compile(r"\{(\w+)\}")
_PART = re.compile(r"keys?\d*")
_LISTED = re.compile(r"keys\d*")
_LITERAL = "%/:@!$&'()*+,;=~-._"
"""Characters that a template's own text may contain; everything else is percent-encoded."""


class ReadOnlyPost(PluginSettings):
    """A POST that only reads, such as a search endpoint; the map's author vouches for that.

    Attributes:
        read_only_post: the path.
        body: the JSON to send. A text that consists of a value (`{keys}`, `{key}`, `{after}`, `{limit}`, `{offset}`,
            `{page}`, `{since}`) becomes that value; a list with one item containing `{key}`, or the parts of a key
            (`{key1}`), gets one for each key.
    """

    read_only_post: str
    body: dict[str, Any] = {}

    @field_validator("read_only_post")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if _PLACE.sub("", path) != path and set(_PLACE.findall(path)) - {"collection"}:
            raise ValueError("values belong into body:, where they are JSON; the path takes only {collection}")
        return path


Template = str | ReadOnlyPost
"""A path for GET, or a POST that only reads."""


def template_of(told: object) -> object:
    """A template from the map, with one message for an invalid one.

    Raises:
        ValueError: it is neither of them.
    """
    if told is None or isinstance(told, str | ReadOnlyPost):
        return told
    words = ("read_only_post", "body")
    if not isinstance(told, Mapping) or "read_only_post" not in told:
        raise ValueError("write a path for GET, or for a POST that only reads {read_only_post: /path, body: {...}}")
    if unknown := [str(word) for word in told if word not in words]:
        raise ValueError(f"unknown word {unknown[0]!r}; known: {', '.join(words)}")
    try:
        return ReadOnlyPost.model_validate(dict(told))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


class ChangedList(PluginSettings):
    """A list of changes that is read in another way than the list of all records.

    Attributes:
        request: how it is requested.
        records, limit: as for the other list; what is not set is the same.
        next, more, until: as for the other list; where one of them is set, none of the other list's counts.
    """

    request: Template
    records: str | None = None
    next: str | None = None
    more: str | None = None
    until: str | None = None
    limit: int | None = Field(default=None, ge=1)

    @field_validator("request", mode="before")
    @classmethod
    def _is_template(cls, told: object) -> object:
        return template_of(told)

    @field_validator("records", "next", "more", "until")
    @classmethod
    def _is_place(cls, path: str | None) -> str | None:
        return check_path(path)


def check_path(path: str | None) -> str | None:
    """A JSONPath, or the word `link`. Raises ValueError."""
    if path is None or path == "link":
        return path
    try:
        json_paths.compiled(path)
    except JSONPathError as error:
        raise ValueError(f"not a JSONPath: {str(error).splitlines()[0]}") from None
    if not path.startswith("$"):
        raise ValueError(f"not a JSONPath: it begins with $, got {path!r}")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, ready to be sent; `path` and `query` are percent-encoded.

    Attributes:
        template: its template, which may contain secrets.
    """

    path: str
    query: str
    template: Template
    body: bytes | None = None

    @property
    def method(self) -> str:
        """GET, or POST if there is a body."""
        return "GET" if self.body is None else "POST"


def places(template: Template) -> frozenset[str]:
    """The names of the values that a template takes."""
    text = template if isinstance(template, str) else template.read_only_post + json.dumps(template.body)
    return frozenset(_PLACE.findall(text))


def checked(word: str, template: Template, known: Sequence[str]) -> None:
    """Refuse a template with an unknown value, or a text that cannot be sent. Raises ValueError."""
    for name in sorted(places(template) - {"collection", *known}):
        told = ", ".join(f"{{{each}}}" for each in ("collection", *known))
        raise ValueError(f"{word} has no value {{{name}}}; it takes {told}")
    path = template if isinstance(template, str) else template.read_only_post
    if "#" in path:
        raise ValueError(f"{word}: what follows # is never sent; write %23 for the character itself")
    if "://" in path.partition("?")[0]:
        raise ValueError(f"{word} is the path after the system's url:, not an address of its own")


def filled(template: Template, collection: str, values: Mapping[str, Any]) -> Asked:
    """Fill in a template's values.

    Args:
        values: a list of keys for `keys`, and of a part of them for `keys1`; for `each`, the values that each key has
            of its own; None leaves out the value's parameter.

    Raises:
        ProbeError: `decode` for a value that cannot be sent exactly.
    """
    if any(
        _PART.fullmatch(name) and ("" in value if isinstance(value, list) else value == "")
        for name, value in values.items()
    ):
        # An API may treat a missing value as no condition, and return every record.
        raise ProbeError(
            Reason.DECODE,
            "an empty key cannot be requested by a parameter, a path or a body",
            hint="an API may ignore it and return every record; look the record up by hand",
            of_key=True,
        )
    if isinstance(template, ReadOnlyPost):
        path = _path(template.read_only_post, {"collection": collection})
        body = json.dumps(_in_json(template.body, {"collection": collection, **values}), default=str)
        return Asked(path=path, query="", template=template, body=body.encode())
    text, _, query = template.partition("?")
    taken = {"collection": collection, **values}
    parts = [_query_part(part, taken) for part in query.split("&") if part]
    sent = "&".join(part for part in parts if part is not None)
    return Asked(path=_path(text, taken), query=sent, template=template)


def _path(template: str, values: Mapping[str, Any]) -> str:
    if not template.startswith("/"):
        template = "/" + template
    segments = []
    for segment in template.split("/"):
        names = _PLACE.findall(segment)
        whole = _put_in(segment, values)
        if set(names) - {"collection"} and whole in {".", ".."}:
            raise ProbeError(
                Reason.DECODE,
                "a key that consists of dots cannot be requested by a path",
                hint="use many:, or a parameter after ?",
                of_key=True,
            )
        segments.append(whole)
    return "/".join(segments)


def _query_part(part: str, values: Mapping[str, Any]) -> str | None:
    if any(values.get(name) is None for name in _PLACE.findall(part)):
        return None
    return _put_in(part, values)


def _put_in(template: str, values: Mapping[str, Any]) -> str:
    text, at = "", 0
    for found in _PLACE.finditer(template):
        text += quote(template[at : found.start()], safe=_LITERAL) + _encoded(found[1], values[found[1]])
        at = found.end()
    return text + quote(template[at:], safe=_LITERAL)


def _encoded(name: str, value: Any) -> str:
    if name == "collection":
        return quote(str(value), safe=_LITERAL)
    try:
        if _LISTED.fullmatch(name):
            return ",".join(_listed(str(key)) for key in value)
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        raise ProbeError(Reason.DECODE, "a key with half a character cannot be requested", of_key=True) from None


def _listed(key: str) -> str:
    if "," in key:
        raise ProbeError(
            Reason.DECODE,
            "a key with a comma cannot be requested among others by a parameter",
            hint="set one: as well, or use read_only_post:",
            of_key=True,
        )
    return quote(key, safe="")


def reads_by_post(templates: Iterable[object], collection: str) -> list[str]:
    """The paths of the POSTs among some templates, as sent."""
    posts = [each.read_only_post for each in templates if isinstance(each, ReadOnlyPost)]
    return [_path(each, {"collection": collection}) for each in dict.fromkeys(posts)]


def takes_exactly(template: Template, key: Key) -> bool:
    """Whether a `many` can ask for this key."""
    text = str(key)
    return bool(text) and (isinstance(template, ReadOnlyPost) or "," not in text)


class _Left:
    """Marks a part that is left out of a body."""


_LEFT = _Left()


def _in_json(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        alone = _PLACE.fullmatch(value)
        if alone:
            given = values[alone[1]]
            return _LEFT if given is None else list(given) if _LISTED.fullmatch(alone[1]) else given
        names = _PLACE.findall(value)
        if any(values.get(name) is None for name in names):
            return _LEFT
        return _PLACE.sub(lambda found: str(values[found[1]]), value)
    if isinstance(value, Mapping):
        filled_in = {name: _in_json(each, values) for name, each in value.items()}
        return {name: each for name, each in filled_in.items() if each is not _LEFT}
    if isinstance(value, list):
        each = values.get("each") or ()
        if len(value) == 1 and each and set(_PLACE.findall(json.dumps(value[0]))) & each[0].keys():
            return [_in_json(value[0], {**values, **own}) for own in each]
        return [each for each in (_in_json(each, values) for each in value) if each is not _LEFT]
    return value
