"""What changed between two versions of an integration map. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from auditor.map.effective import Secret, Settings, Span, masking, settings_of
from auditor.map.integration_map import IntegrationMap
from probes.addresses import SECRET_PARAMETER
from probes.secrets import HIDDEN


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
    """Everything that differs, in the order of the map; a secret that differs is listed, and not shown."""
    masked = masking(before, after)
    return list(_compare((), settings_of(before), settings_of(after), masked))


def compare_documents(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Edit]:
    """Everything that differs between two effective maps (`auditor.map.effective`): no secret, as both show stars."""
    return list(_compare((), before, after, str))


def _compare(path: tuple[str, ...], before: Any, after: Any, masked: Callable[[str], str]) -> Iterator[Edit]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for word in dict.fromkeys([*before, *after]):
            yield from _compare((*path, word), before.get(word, _NOT_THERE), after.get(word, _NOT_THERE), masked)
        return
    if before == after:
        return
    change = "added" if before is _NOT_THERE else "removed" if after is _NOT_THERE else "changed"
    # A body has keys of the map author's own; for all other settings it is known which are secrets.
    named = "body" in path and any(SECRET_PARAMETER.search(word) for word in path[path.index("body") + 1 :])
    yield Edit(
        path=".".join(path),
        change=change,
        before=HIDDEN if named and before is not _NOT_THERE else _text(before, masked),
        after=HIDDEN if named and after is not _NOT_THERE else _text(after, masked),
        judges=path[0] != "alerts" and not TALK & set(path),
    )


_NOT_THERE: Any = object()


def _text(value: Any, masked: Callable[[str], str]) -> str:
    if value is _NOT_THERE or value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, Secret | Span):
        return str(value)
    if isinstance(value, Settings):
        value = {word: each for word, each in value.items() if word in value.written}
    if isinstance(value, Mapping):
        if isinstance(body := value.get("body"), Mapping):
            value = {**value, "body": _without_named(body)}
        return ", ".join(f"{word}: {text}" for word, each in value.items() if (text := _text(each, masked)))
    if isinstance(value, list):
        return ", ".join(_text(each, masked) for each in value)
    return masked(str(value))


def _without_named(body: Any) -> Any:
    """A body with stars for values whose names mark them as secrets."""
    if isinstance(body, Mapping):
        return {
            word: HIDDEN if SECRET_PARAMETER.search(str(word)) else _without_named(each)
            for word, each in body.items()
        }
    return [_without_named(each) for each in body] if isinstance(body, list) else body
