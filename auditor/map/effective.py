"""The effective map: every setting with its value, defaults included, and stars in place of secrets. Pure."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from ruamel.yaml import YAML

from auditor.map.integration_map import IntegrationMap
from auditor.map.secrets import secrets_of
from probes.addresses import SECRET_PARAMETER
from probes.durations import UNITS_S
from probes.secrets import HIDDEN, Scrubber, secret_parts, without_parameters

SECRET_WORD = 8
"""A setting of a single word is taken for a secret if it is one of at least this length: shorter ones are names."""

LEAST_MASKED = 4
"""Shorter secrets are not looked for in other settings: they are part of too many words."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_LOGIN = re.compile(r"://[^@/\s]+@")
_BEGINS_VARIABLE = re.compile(r"\$(?=[${])")
_WORD = re.compile(r"[\w.:-]*")

_WEB = frozenset({"http", "https"})
_SHOWN = _WEB | frozenset(
    {"sqlite", "postgresql", "postgres", "mysql", "mariadb", "mongodb", "mongodb+srv", "redis", "rediss"}
    | {"amqp", "amqps", "nats", "tls", "ws", "wss"}
)
"""Schemes of addresses whose host is no secret."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A setting that is a secret; equal to one with the same text.

    Attributes:
        of_alerts: whether it belongs to a receiver of messages, whose address is a secret but for its host.
    """

    text: str
    of_alerts: bool

    def __str__(self) -> str:
        return shown_address(self.text, with_path=not self.of_alerts) if self.text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


@dataclass(frozen=True, slots=True)
class Span:
    """A duration in seconds."""

    seconds: float

    def __str__(self) -> str:
        """As a map would have it, exactly: `30s`, `5m`, `1500ms`."""
        for unit, unit_s in reversed(UNITS_S.items()):
            amount = self.seconds / unit_s
            if amount >= 1 and amount == round(amount) and round(amount) * unit_s == self.seconds:
                return f"{round(amount)}{unit}"
        return f"{self.seconds:.15f}".rstrip("0").rstrip(".") + "s"


class Settings(dict[str, Any]):
    """The settings of one part of a map; `written` are those present in the file."""

    written: frozenset[str] = frozenset()


def settings_of(integration_map: IntegrationMap) -> dict[str, Any]:
    """Every setting of a map, by section and name; secrets are `Secret`, durations are `Span`."""

    def dump(model: BaseModel, *, of_alerts: bool = False) -> dict[str, Any]:
        plain: dict[str, Any] = _as_written(model, model.model_dump(mode="json", by_alias=True), of_alerts)
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
        "alerts": dump(integration_map.alerts, of_alerts=True),
    }


def _as_written(value: Any, plain: Any, of_alerts: bool) -> Any:
    """A value as written in a map: durations as such, and which settings are present at all."""
    if isinstance(value, SecretStr):
        return Secret(value.get_secret_value(), of_alerts)
    if isinstance(value, BaseModel) and isinstance(plain, Mapping):
        settings = Settings()
        written = set()
        for name, info in type(value).model_fields.items():
            word = info.alias or name
            if word not in plain:
                continue
            entry = getattr(value, name)
            # A duration's word has no unit: `window` for window_s, but records_per_s is a rate.
            of_time = name == f"{word}_s" and isinstance(entry, int | float)
            settings[word] = Span(entry) if of_time else _as_written(entry, plain[word], of_alerts)
            if name in value.model_fields_set:
                written.add(word)
        settings.written = frozenset(written)
        return settings
    if isinstance(value, Mapping) and isinstance(plain, Mapping) and len(value) == len(plain):
        return {
            word: _as_written(entry, each, of_alerts)
            for (word, each), entry in zip(plain.items(), value.values(), strict=True)
        }
    if isinstance(value, list | tuple) and isinstance(plain, list):
        return [_as_written(entry, each, of_alerts) for entry, each in zip(value, plain, strict=True)]
    return plain


def shown_address(address: str, *, with_path: bool = True) -> str:
    """An address without what may be a secret in it: its login, its parameters, and tokens in its path.

    Args:
        with_path: otherwise the whole path may be a secret, as that of a webhook.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None or parts[1].lower() not in _SHOWN:
        return HIDDEN
    scheme, rest = parts[1], parts[2]
    login, at, place = rest.rpartition("@")
    place, asks, parameters = place.partition("?")
    if not with_path:
        host, slash, path = place.partition("/")
        place = f"{host}{slash}{HIDDEN if path else ''}"
    elif scheme.lower() in _WEB:
        for secret in sorted(secret_parts(f"{scheme}://{place}"), key=len, reverse=True):
            place = place.replace(secret, HIDDEN)
    named = "&".join(f"{each.partition('=')[0]}={HIDDEN}" for each in parameters.split("&")) if parameters else ""
    shown = f"{scheme}://{f'{HIDDEN}@' if at else ''}{place}{asks}{named}"
    return Scrubber.of_address(address)(shown) if login else shown


def masking(*maps: IntegrationMap) -> Callable[[str], str]:
    """What removes secrets of these maps from a setting's text."""
    secrets = {secret for each in maps for secret in secrets_of(each) if len(secret) >= LEAST_MASKED}
    patterns = [
        re.escape(each) if len(each) >= SECRET_WORD else rf"(?<!\w){re.escape(each)}(?!\w)"
        for each in sorted(secrets, key=lambda secret: (-len(secret), secret))
    ]
    anywhere = re.compile("|".join(patterns)) if patterns else None

    def masked(text: str) -> str:
        if _WORD.fullmatch(text):  # a name: a short password may be the same word
            return HIDDEN if len(text) >= SECRET_WORD and text in secrets else text
        if anywhere is not None:
            text = anywhere.sub(HIDDEN, text)
        return without_parameters(_LOGIN.sub(f"://{HIDDEN}@", text))

    return masked


def effective(integration_map: IntegrationMap) -> dict[str, Any]:
    """The settings of a map as a document of plain values, without empty ones; secrets are stars."""
    masked = masking(integration_map)
    document: dict[str, Any] = _document(settings_of(integration_map), masked)
    return document


def _document(value: Any, masked: Callable[[str], str], *, in_body: bool = False) -> Any:
    if isinstance(value, Mapping):
        shown = {}
        for word, each in value.items():
            if in_body and SECRET_PARAMETER.search(str(word)):
                shown[str(word)] = HIDDEN
                continue
            entry = _document(each, masked, in_body=in_body or word == "body")
            if entry is not None and entry not in ("", [], {}):
                shown[str(word)] = entry
        return shown
    if isinstance(value, list):
        return [_document(each, masked, in_body=in_body) for each in value]
    if isinstance(value, Secret | Span):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return masked(value) if isinstance(value, str) else value


def digest_of(integration_map: IntegrationMap, digest_key: bytes) -> str:
    """Identifies a map with all its settings, secrets included; keyed, so that no secret can be found by trying."""
    settings = json.dumps(_exact(settings_of(integration_map)), ensure_ascii=True).encode()
    return hashlib.blake2b(settings, key=digest_key, digest_size=8, person=b"map").hexdigest()


def _exact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(word): _exact(each) for word, each in value.items()}
    if isinstance(value, list):
        return [_exact(each) for each in value]
    if isinstance(value, Secret):
        return ["secret", value.text]
    return ["span", value.seconds] if isinstance(value, Span) else value


def effective_yaml(integration_map: IntegrationMap) -> str:
    """The effective map as YAML."""
    return as_yaml(effective(integration_map))


def as_yaml(document: Mapping[str, Any]) -> str:
    """An effective map as YAML, in the form of a map's file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output, yaml.width = False, False, 1 << 20  # type: ignore[assignment]
    yaml.allow_unicode = True
    out = io.StringIO()
    yaml.dump(_escaped(document), out)
    return out.getvalue()


def _escaped(value: Any) -> Any:
    """A document in which no dollar sign begins a variable."""
    if isinstance(value, Mapping):
        return {word: _escaped(each) for word, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return _BEGINS_VARIABLE.sub("$$", value) if isinstance(value, str) else value
