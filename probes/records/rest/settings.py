"""The map's settings for an HTTP API, and for a data type in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from probes.addresses import check_address
from probes.http.settings import Auth, HeaderAuth, Retries
from probes.records.rest.request_template import (
    ChangedList,
    ReadOnlyPost,
    Template,
    check_path,
    checked,
    places,
    template_of,
)
from probes.secrets import without_parameters
from probes.settings import Binding, OperationLimits, SystemSettings


class RestSettings(SystemSettings):
    """An HTTP API.

    Attributes:
        url: the address that the templates are appended to; parameters in it are sent with every request. A secret.
        headers: sent with every request; values are secrets.
        auth: how requests are signed in.
        retries: the most retries after a transient failure.
        verify: false to accept any TLS certificate (a test system's own).
    """

    operations: ClassVar[Mapping[str, OperationLimits]] = dict.fromkeys(
        ("one", "many", "list", "changed"), OperationLimits()
    )

    kind: Literal["rest"]
    url: SecretStr
    headers: dict[str, SecretStr] = {}
    auth: Auth | None = None
    retries: Retries = 2
    verify: bool = True

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        text = check_address(url.get_secret_value().strip(), login=False)
        try:
            found = urlsplit(text)
            whole = found.scheme in {"http", "https"} and bool(found.hostname) and (found.port or 1) > 0
        except ValueError:
            whole = False
        if not whole or any(sign.isspace() for sign in text):
            raise ValueError("not an HTTP address; write for example https://api.example.com/v1")
        if "#" in text:
            raise ValueError("what follows # is never sent; write %23 for the character itself")
        return SecretStr(text)

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> RestSettings:
        if self.auth is None:
            return self
        sent = (self.auth.name if isinstance(self.auth, HeaderAuth) else "Authorization").lower()
        if twice := [name for name in self.headers if name.lower() == sent]:
            raise ValueError(f"headers sets {twice[0]}, and auth sends it as well; take it out of headers")
        if sent == "authorization" and urlsplit(self.url.get_secret_value()).username is not None:
            raise ValueError("url holds a login, and auth signs in as well; take the login out of url")
        return self


class RestBinding(Binding):
    """How to read a data type from an API; `collection` is its path.

    Attributes:
        records: JSONPath of the records in the response to `many`, `list` and `changed`.
        record: JSONPath of the record in the response to `one`.
        one, many, list_, changed: request templates with `{collection}`, `{key}`, `{keys}`, `{after}`, `{offset}`,
            `{page}`, `{limit}` and `{since}`; at least one of `one` and `many` is needed. A key of several fields has
            its parts in `{key1}`, `{key2}` and so on, and lists of one of them in `{keys1}`.
        next: where a response shows how its list continues: a JSONPath of a cursor or an address, or `link` for the
            Link header.
        more: JSONPath of whether more follows, true or false.
        until: JSONPath of whether this was the end, true or false.
        limit: the most records that `list` and `changed` may request at once.
        first_page: the number of the first page, if pages are numbered.
        since: how an instant is written in a request: `iso`, `s`, `ms` or `us` since 1970, or `local` for a text
            without an offset in the zone of the system; by default as `changed_at_unit` says, otherwise `iso`.
        batch: keys in one `many` request.
    """

    composite_keys: ClassVar[bool] = True

    records: str = "$[*]"
    record: str = "$"
    one: Template | None = None
    many: Template | None = None
    list_: Template | None = Field(default=None, alias="list")
    changed: Template | ChangedList | None = None
    next: str | None = None
    more: str | None = None
    until: str | None = None
    limit: int | None = Field(default=None, ge=1)
    first_page: int = Field(default=1, ge=0)
    since: Literal["iso", "s", "ms", "us", "local"] | None = None
    batch: int = Field(default=100, ge=1, le=5000)

    @property
    def lists(self) -> bool:
        """Whether there is a template for it."""
        return self.list_ is not None

    @property
    def tells_changes(self) -> bool:
        """Whether there is a template for it."""
        return self.changed is not None

    @field_validator("one", "many", "list_", mode="before")
    @classmethod
    def _is_template(cls, told: object) -> object:
        return template_of(told)

    @field_validator("changed", mode="before")
    @classmethod
    def _is_changed(cls, told: object) -> object:
        if isinstance(told, ChangedList) or (isinstance(told, Mapping) and "request" in told):
            return told
        return template_of(told)

    @field_validator("records", "record", "next", "more", "until")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        return check_path(path)

    @property
    def changes(self) -> ChangedList | None:
        """How changes are requested, in either form of the map; None if it sets none."""
        if self.changed is None:
            return None
        own = self.changed if isinstance(self.changed, ChangedList) else ChangedList(request=self.changed)
        rest = own if own.next or own.more or own.until else self
        return ChangedList(
            request=own.request,
            records=own.records or self.records,
            next=rest.next,
            more=rest.more,
            until=rest.until,
            limit=own.limit or self.limit,
        )

    @model_validator(mode="after")
    def _can_fetch(self) -> RestBinding:
        if self.one is None and self.many is None:
            raise ValueError("set how records are read: one: /path/{key} or many: /path?ids={keys}")
        changes = self.changes
        walked, listed = ("after", "offset", "page", "limit"), ("keys", "key")
        parts = (
            tuple(f"key{number}" for number in range(1, len(self.key_fields) + 1)) if len(self.key_fields) > 1 else ()
        )
        several = tuple(f"keys{number}" for number in range(1, len(parts) + 1))
        alone = ("key",) if isinstance(self.many, ReadOnlyPost) else ()
        for word, template, known, needed in (
            ("one", self.one, ("key", *parts), () if parts else ("key",)),
            ("many", self.many, ("keys", *alone, *parts, *several), () if parts else listed),
            ("list", self.list_, walked, ()),
            ("changed", changes.request if changes else None, ("since", *walked), ("since",)),
        ):
            if template is None:
                continue
            checked(word, template, known)
            if needed and not places(template) & set(needed):
                raise ValueError(f"{word} needs {{{needed[0]}}}, got {without_parameters(str(template))!r}")
            if parts and word in {"one", "many"}:
                self._names_parts(word, template, parts, several)
        return self

    def _names_parts(self, word: str, template: Template, parts: tuple[str, ...], several: tuple[str, ...]) -> None:
        """Refuse a template that leaves a part of the key out. Raises ValueError."""
        named = places(template)
        whole = {"key"} if word == "one" else {"keys", "key"}
        lists = [name for name in several if name in named]
        if named & whole and not named & {*parts, *several}:
            return
        if (
            not named & whole
            and not lists
            and {*parts} <= named
            and (word == "one" or isinstance(template, ReadOnlyPost))
        ):
            return
        others = {each for each, name in zip(parts, several, strict=True) if name not in lists}
        if not named & whole and len(lists) == 1 and word == "many" and others == named & {*parts}:
            return
        every = ", ".join(f"{{{each}}}" for each in parts)
        if word == "one":
            raise ValueError(f"one needs every part of the key: {every}; or {{key}}, which joins them with slashes")
        raise ValueError(
            "many needs {keys}, keys with a slash between their parts; or a list of one part and each of the others "
            f"once, such as {{key1}} and {{keys2}}; or, in body:, a list with one item that holds {every}"
        )

    @model_validator(mode="after")
    def _can_walk(self) -> RestBinding:
        changes = self.changes
        for word, template, way in (
            ("list", self.list_, self),
            ("changed", changes.request if changes else None, changes),
        ):
            named = sorted(places(template) & {"after", "offset", "page"}) if template is not None else []
            if len(named) > 1:
                raise ValueError(f"{word} continues by {{{named[0]}}} or by {{{named[1]}}}, not by both")
            if word == "list" and named == ["after"] and self.next is None and len(self.key_fields) > 1:
                raise ValueError(
                    "list continues after the last key, and it has several fields: set next:, or use {offset}"
                )
            if word == "changed" and named == ["after"] and way is not None and way.next is None:
                raise ValueError("changed is not in the order of keys: set next:, where {after} comes from")
            if way is not None and way.more is not None and way.until is not None:
                raise ValueError(f"{word}: more is true if more follows, until is true at the end; set one of them")
        if "page" in (places(self.list_) if self.list_ is not None else ()) and self.limit is None:
            raise ValueError("list is paged by {page}: set limit: to the records of a page, which must not change")
        if self.next is not None and self.list_ is None and self.changed is None:
            raise ValueError("next shows how a list continues, and there is no list: or changed: template")
        return self

    def options(self) -> dict[str, Any]:
        """The templates and paths."""
        changes = self.changes
        return {
            "records": self.records,
            "record": self.record,
            "one": self.one,
            "many": self.many,
            "list": self.list_,
            "changed": None if changes is None else changes.request,
            "next": self.next,
            "more": self.more,
            "ways": {"list": _way(self), "changed": None if changes is None else _way(changes)},
            "first_page": self.first_page,
            "since": self.since or self.changed_at_unit or "iso",
            "batch": self.batch,
        }


def _way(listed: RestBinding | ChangedList) -> dict[str, Any]:
    """How a list is read and goes on."""
    return {
        "records": listed.records,
        "next": listed.next,
        "more": listed.more,
        "until": listed.until,
        "limit": listed.limit,
    }
