"""The map's settings for MongoDB: the deployment, the member to read, and the collections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote

from pydantic import Field, SecretStr, field_validator, model_validator

from probes.addresses import check_address
from probes.contract import ReadSpec
from probes.durations import Duration
from probes.settings import Binding, SystemSettings
from probes.wording import did_you_mean

LEAST_STALENESS_S = 90.0
"""Source: MongoDB manual, "Read Preference maxStalenessSeconds"."""

_PASSED_ON = (
    *("authSource", "authMechanism", "replicaSet", "directConnection", "loadBalanced", "tls", "ssl", "appName"),
    *("tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword", "tlsCRLFile", "tlsInsecure"),
    *("tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames", "tlsDisableOCSPEndpointCheck"),
    *("srvServiceName", "srvMaxHosts"),
)

KNOWN_OPTIONS = frozenset(name.lower() for name in _PASSED_ON)
"""Options of a URL that are passed on; their names are case-insensitive."""

IDLE_OPTIONS = frozenset({"retrywrites", "retryreads", "w", "j", "journal", "wtimeoutms", "wtimeout", "compressors"})
"""Options that people copy with their URL and that do not matter for reading."""

EVENT_TIME = "$clusterTime"
"""Stands for `changed_at` in a spec with a change stream if records have no stamp; no field has this name."""

MECHANISMS = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "PLAIN"})


class MongoDbSettings(SystemSettings):
    """A MongoDB deployment.

    Attributes:
        url: `mongodb://USER:PASSWORD@HOST/DATABASE` or `mongodb+srv://...`; a secret.
        database: if the URL names none, or names one only for the login.
        read: which member of a replica set to read.
        max_staleness_s: how old a secondary's data may be; required if `read` is not `primary`.
        read_concern: `majority` reads nothing that a failover could undo; `local` reads what the member has.
        uuid: the order of the bytes of UUIDs that old drivers wrote (subtype 3).
    """

    kind: Literal["mongodb"]
    url: SecretStr
    database: str | None = Field(default=None, pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$')
    read: Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"] = "primary"
    max_staleness_s: Duration | None = Field(default=None, alias="max_staleness")
    read_concern: Literal["majority", "local"] = "majority"
    uuid: Literal["java_legacy", "csharp_legacy", "python_legacy"] | None = None

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value().strip()
        if not text.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("not a MongoDB URL; write for example mongodb://user:password@host:27017/shop")
        check_address(text)
        written = [name for name, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True)]
        options = _options(text)
        for option in written:
            name = option.lower()
            if name in {"readpreference", "readpreferencetags", "maxstalenessseconds", "readconcernlevel"}:
                raise ValueError(
                    f"leave {option} out of the URL: set it in the map, as read:, max_staleness: or read_concern:"
                )
            if name == "uuidrepresentation":
                raise ValueError("leave uuidRepresentation out of the URL: set it in the map, as uuid:")
            if name.endswith("timeoutms"):
                raise ValueError(f"leave {option} out of the URL: set it in the map, as budget: timeout:")
            if name not in KNOWN_OPTIONS | IDLE_OPTIONS:
                raise ValueError(f"unknown option {option} in the URL{did_you_mean(option, _PASSED_ON)}")
        mechanism = options.get("authmechanism", "SCRAM-SHA-256")
        if mechanism not in MECHANISMS:
            raise ValueError(f"authMechanism {mechanism} is not supported; known: {', '.join(sorted(MECHANISMS))}")
        tls = options.get("tls", options.get("ssl", "true" if text.startswith("mongodb+srv://") else "false"))
        if mechanism == "PLAIN" and tls != "true":
            raise ValueError("authMechanism PLAIN sends the password as it is: add tls=true")
        return SecretStr(text)

    @model_validator(mode="after")
    def _says_how_old(self) -> MongoDbSettings:
        if not self.database_name:
            raise ValueError("name the database, in the URL after the host or as database:")
        if self.read == "primary":
            if self.max_staleness_s is not None:
                raise ValueError("max_staleness is for secondaries, and read: is primary")
            return self
        if self.max_staleness_s is None or self.max_staleness_s < LEAST_STALENESS_S:
            raise ValueError(
                f"read: {self.read} may return old values: set max_staleness, at least {LEAST_STALENESS_S:.0f}s"
            )
        if self.delay_floor_s < self.max_staleness_s:
            raise ValueError(
                f"read: {self.read} may return values {self.max_staleness_s:.0f} s old: set delay_floor to that"
            )
        return self

    @property
    def database_name(self) -> str:
        """Where the collections are."""
        rest = self.url.get_secret_value().partition("://")[2].partition("?")[0]
        return self.database or unquote(rest.partition("/")[2])


def _options(url: str) -> dict[str, str]:
    """The options of a URL; their names are case-insensitive."""
    return {name.lower(): value for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True)}


def plain_url(url: str) -> str:
    """The URL without options that are not used here."""
    address, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() in KNOWN_OPTIONS]
    address += "" if "/" in address.partition("://")[2] else "/"
    return f"{address}?{'&'.join(kept)}" if kept else address


class MongoDbBinding(Binding):
    """A collection or view; fields are dotted paths (`address.city`, `lines.sku`).

    There is intentionally no filter: a view in the database defines the selection for every reader.

    Attributes:
        changes: how changes are found: by the `stamp` of each record (`changed_at` or `version`), or by the change
            `stream` of the collection.
    """

    changes: Literal["stamp", "stream"] = "stamp"

    @field_validator("collection")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not name or name.startswith("system.") or "$" in name or "\0" in name:
            raise ValueError(f"{name!r} is not the name of a collection")
        return name

    composite_keys: ClassVar[bool] = True

    @field_validator("key")
    @classmethod
    def _has_paths(cls, key: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for path in (key,) if isinstance(key, str) else key:
            checked_path(path)
        return key

    @field_validator("changed_at", "version")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        return None if path is None else checked_path(path)

    @field_validator("fields")
    @classmethod
    def _are_paths(cls, fields: dict[str, str]) -> dict[str, str]:
        for path in fields.values():
            checked_path(path)
        return fields

    @model_validator(mode="after")
    def _starts_at_an_instant(self) -> MongoDbBinding:
        if self.changes == "stream" and self.version is not None:
            raise ValueError("changes: stream starts at an instant: leave version out, or name changed_at instead")
        return self

    @property
    def marks_records(self) -> bool:
        """Whether a record's own stamp shows when it changed; with a stream, the time of its event does."""
        return self.changes == "stamp"

    def options(self) -> dict[str, Any]:
        return {"changes": self.changes} if self.changes == "stream" else {}

    def spec(self, data_type: str, names: Sequence[str], *, zone: str | None, key_type: str = "string") -> ReadSpec:
        spec = super().spec(data_type, names, zone=zone, key_type=key_type)
        return spec if self.changes == "stamp" else replace(spec, changed_at=self.changed_at or EVENT_TIME)


def checked_path(path: str) -> str:
    """A dotted path. Raises ValueError if it is not a path."""
    parts = path.split(".")
    if "\0" in path or any(not part or part.startswith("$") for part in parts if part not in {"$id", "$ref", "$db"}):
        raise ValueError(
            f"{path!r} is not a path to a field; write names with a dot between them, such as address.city"
        )
    return path
