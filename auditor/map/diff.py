"""What changed between two versions of an integration map. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from auditor.map.integration_map import IntegrationMap
from probes.addresses import SECRET_PARAMETER
from probes.durations import format_duration
from probes.secrets import HIDDEN, without_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One setting that differs.

    Attributes:
        path: its path in the map.
        change: added, removed or changed.
        before, after: its value in the two maps; secrets are stars.
        judges: whether verdicts depend on it, so that it starts a new series or changes windows.
    """

    path: str
    change: str
    before: str
    after: str
    judges: bool

    def as_row(self) -> dict[str, Any]:
        """The edit as one row of a table."""
        return asdict(self)


TALK = frozenset(
    {"description", "frequency", "trigger", "transformation", "team", "slack_channel", "runbook", "retry", "link"}
)
"""Settings for people, on which no verdict depends."""


def compare(before: IntegrationMap, after: IntegrationMap) -> list[Edit]:
    """Everything that differs, in the order of the map."""
    return list(_compare((), _plain(before), _plain(after)))


class _Said(dict[str, Any]):
    """The settings of a part of the map with their values; `written` are those present in the file."""

    written: frozenset[str] = frozenset()


def _as_written(value: Any, plain: Any) -> Any:
    """A value as written in a map: durations with their unit, and which settings are present at all."""
    if isinstance(value, BaseModel) and isinstance(plain, Mapping):
        settings = _Said()
        written = set()
        for name, info in type(value).model_fields.items():
            word = info.alias or name
            if word not in plain:
                continue
            entry = getattr(value, name)
            of_time = name.endswith("_s") and isinstance(entry, int | float)
            settings[word] = format_duration(entry).replace(" ", "") if of_time else _as_written(entry, plain[word])
            if name in value.model_fields_set:
                written.add(word)
        settings.written = frozenset(written)
        return settings
    if isinstance(value, Mapping) and isinstance(plain, Mapping) and len(value) == len(plain):
        return {
            word: _as_written(entry, each) for (word, each), entry in zip(plain.items(), value.values(), strict=True)
        }
    if isinstance(value, list | tuple) and isinstance(plain, list):
        return [_as_written(entry, each) for entry, each in zip(value, plain, strict=True)]
    return plain


def _plain(integration_map: IntegrationMap) -> dict[str, Any]:
    def dump(model: BaseModel) -> dict[str, Any]:
        plain: dict[str, Any] = _as_written(model, model.model_dump(mode="json", by_alias=True))
        return plain

    data_types = {}
    for name, data_type in integration_map.data_types.items():
        data_types[name] = dump(data_type)
        data_types[name]["in"] = {
            system: dump(binding)
            for (data_type_name, system), binding in integration_map.bindings.items()
            if data_type_name == name
        }
    flows = {}
    for name, flow in integration_map.flows.items():
        flows[name] = dump(flow)
        flows[name]["queues"] = {
            queue: dump(settings)
            for (flow_name, queue), settings in integration_map.queues.items()
            if flow_name == name
        }
    return {
        "systems": {name: dump(system) for name, system in integration_map.systems.items()},
        "data_types": data_types,
        "flows": flows,
        "alerts": dump(integration_map.alerts),
    }


def _compare(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Edit]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for word in dict.fromkeys([*before, *after]):
            yield from _compare((*path, word), before.get(word, _NOT_THERE), after.get(word, _NOT_THERE))
        return
    if before == after:
        return
    change = "added" if before is _NOT_THERE else "removed" if after is _NOT_THERE else "changed"
    # A body has keys of the map author's own; for all other settings it is known which are secrets.
    named = "body" in path and any(SECRET_PARAMETER.search(word) for word in path[path.index("body") + 1 :])
    yield Edit(
        path=".".join(path),
        change=change,
        before=HIDDEN if named and before is not _NOT_THERE else _text(before),
        after=HIDDEN if named and after is not _NOT_THERE else _text(after),
        judges=path[0] != "alerts" and not TALK & set(path),
    )


_NOT_THERE: Any = object()
_LOGIN = re.compile(r"://[^@/\s]+@")


def _text(value: Any) -> str:
    if value is _NOT_THERE or value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, _Said):
        value = {word: each for word, each in value.items() if word in value.written}
    if isinstance(value, Mapping):
        if isinstance(body := value.get("body"), Mapping):
            value = {**value, "body": _without_named(body)}
        return ", ".join(f"{word}: {text}" for word, each in value.items() if (text := _text(each)))
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value)
    return without_parameters(_LOGIN.sub("://***@", str(value)))


def _without_named(body: Any) -> Any:
    """A body with stars for values whose names mark them as secrets."""
    if isinstance(body, Mapping):
        return {
            word: HIDDEN if SECRET_PARAMETER.search(str(word)) else _without_named(each)
            for word, each in body.items()
        }
    return [_without_named(each) for each in body] if isinstance(body, list) else body
