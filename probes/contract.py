"""The contract between a probe and its callers.

A probe contains only its system's protocol. The caller (`auditor.systems.reader`) handles timing, retries, pools,
batches and turning an error into a reading, once for all probes.

Rules for every probe:

* It never writes. Sessions are opened read-only wherever the protocol has such a thing.
* Every call returns or raises within its deadline plus one second, even if the server hangs.
* Every failure is a `ProbeError` with a `Reason`; its text never holds a secret.
* Calls may come from several threads at once. `close()` may come at any time and ends calls under way.
* Values are returned raw, as the driver gives them; `checks.values` makes them canonical.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from probes.letter_case import CASELESS
from probes.phone_numbers import PHONE

INSPECT_CALLS = 4
"""`inspect` may take as long as this many calls: people run it, on systems that may have to warm up."""

DESCRIBING_CALLS = 12
"""`collections` may take as long as this many calls: an API describes one collection with each request."""

Key = int | str
"""A record's shared identity in its canonical form."""

WRITTEN_FREELY = frozenset({CASELESS, PHONE})
"""Types of keys of which one system may hold several writings."""

Row = Sequence[Any]
"""One record as read: `(key, mark or None, *values)`, values in the order of `ReadSpec.fields`.

A plain tuple, as drivers return it: an object per row would slow an audit down by about 4 %.
"""

KEY, MARK, VALUES_FROM = 0, 1, 2
"""Where a row's key and mark stand, and its first value."""

VALUES = slice(VALUES_FROM, None)
"""A row's values: `row[VALUES]`."""


class Missing:
    """The type of `MISSING`: the system returned the record without this field."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()
"""A missing field, as opposed to one that is NULL or empty."""


class Bits(str):
    """A string of bits, most significant first; as a number it is binary, although it looks decimal."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """The number that the bits represent."""
        return int(self or "0", 2)


class Labels(str):
    """Labels of a SET column, joined by commas; no label contains one."""

    __slots__ = ()


class Reason(StrEnum):
    """Why a probe failed."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    AUTH = "auth"
    PERMISSION = "permission"
    QUERY = "query"
    DECODE = "decode"
    TOO_LARGE = "too_large"
    OVER_BUDGET = "over_budget"
    CURSOR_LOST = "cursor_lost"


RETRYABLE = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE, Reason.OVER_BUDGET})

WITHOUT_WORD = frozenset({Reason.QUERY, Reason.DECODE})
"""Reasons whose names tell people nothing that the sentence does not: mostly the map is wrong."""


_ERRNO = re.compile(r"\[Errno -?\d+\] ")
"""What Python puts in front of the operating system's own words."""


class ProbeError(Exception):
    """A probe failed.

    Args:
        reason: which of the known ways it failed.
        message: what happened, without secrets.
        hint: what the reader of the message can do about it.
        retry_after_s: how long the system asks callers to wait, None if it does not say.
        of_key: the requested key cannot be looked up, which says nothing about the system.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str = "",
        retry_after_s: float | None = None,
        of_key: bool = False,
    ) -> None:
        message = _ERRNO.sub("", message)
        told = message if reason in WITHOUT_WORD else f"{reason}: {message}"
        super().__init__(told + (f" ({hint})" if hint else ""))
        self.retry_after_s = retry_after_s
        self.of_key = of_key
        self.reason = reason
        self.message = message
        self.hint = hint

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return self.reason in RETRYABLE


class StampsError(ProbeError):
    """The system's change stamps cannot be ordered: only a sweep finds what changed."""


class UnprovedError(ProbeError):
    """It could be proved neither that a system can be written to nor that it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSpec:
    """How to read a data type in one system.

    Attributes:
        data_type: the data type's name, for messages.
        collection: table, path or other container of the records.
        key: the field that holds the record's key.
        changed_at: the field with the instant of the last change, or None.
        fields: the source names of the values wanted, in order.
        version: the field with a number that grows with every change of the collection, or None.
        key_type: how keys are compared; it is part of their ranks.
        key_parts: all its fields if it has several, in order; `key` is the first of them then. Rows hold a tuple of
            their values as the key, and a `Key` is its text (`probes.composite_keys`).
        part_types: the type of each of them; text where it is not set.
        key_region: where phone numbers without a country code are, two letters (ISO 3166-1).
        mistaken: records of other keys are returned as well that software may take for the requested ones
            (`probes.letter_case`).
        changed_at_unit: s, ms or us if the instant is a number since 1970.
        zone: the time zone of instants that carry none.
        lists: whether the system can list the collection's records.
        tells_changes: whether it can list changes since an instant or a version.
        marks_records: whether a record carries its own mark; otherwise only the list of changes tells it, and rows
            read in another way have none.
        deleted: the field whose value tells whether a record is deleted, the last of `fields`; None if there is none.
        options: settings of this kind of probe only (request templates, for example).
        pairs: where the keys of this system are paired with those of the data type, if they are others. Probes ignore
            it: they get and return the system's own keys.
    """

    data_type: str
    collection: str
    key: str
    changed_at: str | None
    fields: tuple[str, ...]
    version: str | None = None
    key_type: str = "string"
    key_parts: tuple[str, ...] = ()
    part_types: tuple[str, ...] = ()
    key_region: str | None = None
    mistaken: bool = False
    changed_at_unit: Literal["s", "ms", "us"] | None = None
    zone: str | None = None
    lists: bool = True
    tells_changes: bool = True
    marks_records: bool = True
    deleted: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pairs: Pairs | None = None

    @property
    def finds_changes(self) -> bool:
        """Whether changes can be listed, instead of found by reading record after record."""
        return self.tells_changes and self.mark is not None

    @property
    def mark(self) -> str | None:
        """The field that shows a change: an instant, an increasing number, or None."""
        return self.changed_at or self.version

    @property
    def own_mark(self) -> str | None:
        """`mark`, if the records themselves have it."""
        return self.mark if self.marks_records else None

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields that hold the key together."""
        return self.key_parts or (self.key,)

    @property
    def lists_whole_keys(self) -> bool:
        """Whether a listing shows all rows of a key together: not if one key is written in several ways or paired."""
        return self.pairs is None and not self.written_freely

    @property
    def key_types(self) -> tuple[str, ...]:
        """The type of each of the `key_fields`."""
        if not self.key_parts:
            return (self.key_type,)
        return self.part_types or ("string",) * len(self.key_parts)

    @property
    def written_freely(self) -> bool:
        """Whether the key, or a part of it, may be written in several ways."""
        return not WRITTEN_FREELY.isdisjoint(self.key_types)

    @property
    def keys_alone(self) -> bool:
        """Whether no value is read beside a record's key, its mark, and whether it is deleted."""
        return len(self.fields) == (self.deleted is not None)

    def without_values(self) -> ReadSpec:
        """The same collection without any value but the key, the mark, and whether a record is deleted."""
        return replace(self, fields=() if self.deleted is None else (self.deleted,))

    def keys_only(self) -> ReadSpec:
        """The same collection with only the key, and whether a record is deleted."""
        return replace(self.without_values(), changed_at=None, version=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Where the keys of a data type are paired with those that one system has of its own.

    Attributes:
        system: which holds the pairs.
        called: its collection of pairs, for messages.
        by_key: how to read own keys by keys of the data type.
        by_own_key: how to read keys of the data type by own keys.
        parse_key, parse_own_key: read either from a raw value.
    """

    system: str
    called: str
    by_key: ReadSpec
    by_own_key: ReadSpec
    parse_key: Callable[[Any], Any]
    parse_own_key: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSample:
    """One reading of a system's clock.

    Attributes:
        sent_at: local instant just before the request left.
        received_at: local instant just after the response came.
        server_at: the server's time, UTC.
        resolution_s: the server's stamp stands for `[server_at, server_at + resolution_s)`; 0 for a
            stamp of microseconds, 1 for an HTTP `Date`.
    """

    sent_at: datetime
    received_at: datetime
    server_at: datetime
    resolution_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One response of a listing that may span several.

    Attributes:
        next: where to continue, in the probe's own form; None at the end.
        more: there are more records, whether or not `next` leads to them.
        later: the system is still preparing what follows: it is read with a later listing.
        behind_s: changes of the last `behind_s` seconds may be missing although there are no more; a later response
            has them.
        told_from: the system does not tell of changes before this instant any more; None if it tells of all.
        reached_at: all changes before this instant are in this response and those before it; None if only the marks
            of its rows show that.
        absent: of changes, raw keys of records that changed and no longer exist.
    """

    rows: Sequence[Row] = ()
    next: str | None = None
    more: bool = False
    later: bool = False
    behind_s: float = 0.0
    told_from: datetime | None = None
    reached_at: datetime | None = None
    absent: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcements:
    """Changes that a system has announced by itself.

    Attributes:
        keys: of records that may have changed, raw, in the order of the announcements.
        position: after these announcements, in the probe's own form; None if nothing has come yet.
        names_all: false if other records changed, too, which no announcement names.
    """

    keys: Sequence[Any] = ()
    position: str | None = None
    names_all: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one read of one system saw.

    Attributes:
        system: the system read.
        sent_at: local instant before the first request.
        received_at: local instant after the last response.
        rows: the records found, in the probe's order.
        truncated: the limit was reached, so there may be more.
        next: where a listing continues, in the probe's own form; None after its last page.
        behind_s, told_from, reached_at, absent: of changes, see `Page`.
        error: why nothing (more) could be read; rows read before it are kept.
        unreadable: requested keys that this system could not return, each with the reason.
        instants: around the request for each key, if keys were read in batches.
        doubled: keys that share their record with another key, in words (`auditor.systems.crosswalk`).
        unpaired: keys without a pair, in words.
        traced: those of them that had a pair before, so that the record it led to was read all the same.
        own_keys: by key, those of the system itself that a crosswalk pairs with it.
    """

    system: str
    sent_at: datetime
    received_at: datetime
    rows: Sequence[Row] = ()
    truncated: bool = False
    next: str | None = None
    behind_s: float = 0.0
    told_from: datetime | None = None
    reached_at: datetime | None = None
    absent: Sequence[Any] = ()
    error: ProbeError | None = None
    unreadable: Mapping[Key, str] = field(default_factory=dict)
    instants: Mapping[Key, tuple[datetime, datetime]] = field(default_factory=dict)
    doubled: Mapping[Key, str] = field(default_factory=dict)
    unpaired: Mapping[Key, str] = field(default_factory=dict)
    traced: Set[Key] = frozenset()
    own_keys: Mapping[Key, Sequence[Key]] = field(default_factory=dict)

    def when(self, key: Key) -> tuple[datetime, datetime]:
        """When this key was requested and returned; for a listing, the time of the whole."""
        return self.instants.get(key, (self.sent_at, self.received_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSchema:
    """One field of a collection, as the system describes it.

    Attributes:
        type: the canonical type that fits it (`checks.fields.FieldType`).
        described: the system's own name for its type.
        unique: no two records share a value.
    """

    name: str
    type: str
    described: str
    unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSchema:
    """One collection, as the system describes it.

    Attributes:
        key: the fields that identify a record together, if the system names several.
        changed_at: what shows when a record changed, if the system has a name for it; a field, or the name of
            something else that its probe takes for `changed_at`.
    """

    name: str
    fields: tuple[FieldSchema, ...]
    key: tuple[str, ...] = ()
    changed_at: str | None = None


@runtime_checkable
class RecordProbe(Protocol):
    """Reads records of one system. See the module's docstring for the rules of every call."""

    delay_floor_s: float
    """The shortest time after a change during which this system may legitimately return the old value."""

    def batch_limit(self, spec: ReadSpec) -> int:
        """The largest number of keys `fetch` takes at once: as many as fit into one deadline."""

    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        """Check that the collection and every field exist and may be read; takes up to four requests.

        Returns:
            Remarks on what will be slow or doubtful (no index on the key, for example).

        Raises:
            ProbeError: `query` with a did-you-mean for a wrong name, `permission` for a forbidden one.
        """

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        """Read the records with these keys, in any order; a missing key has no row.

        All rows of a key are returned if the system holds several.
        """

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        """Read up to `limit` records changed at or after `since`, oldest change first.

        Args:
            since: an instant, or a number if the spec names a `version`.
            after: the `next` of the previous response, which was for the same `since`.
        """

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        """Read the next records of the whole collection, about `limit` of them, in the system's own order.

        A page may be shorter than requested, or empty, and another may still follow: only `next` shows that. If the
        system lists by key, rows of one key are never split over two pages, so a page may be longer, and records
        without a key come with the first page.

        Args:
            after: the `next` of an earlier page, which may be days old; None to begin.

        Raises:
            ProbeError: `cursor_lost` if the system no longer knows `after`: start over.
        """

    def highest_version(self, spec: ReadSpec) -> int | None:
        """Read the highest number of the spec's `version`, None if there is none or it cannot be read."""

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """Whether `ranked` is cheap here: the collection is small, or an index serves it."""

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        """The statement that makes `ranked` cheap, for people to run; None if there is none."""

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[Any, int]]:
        """Read up to `limit` keys with ranks in `[lower, upper)`, lowest rank first.

        Returns:
            Raw keys with their ranks (`probes.ranking`); records without a key are left out.
        """

    def collections(self) -> list[CollectionSchema]:
        """Describe what the system holds, as far as it reports it; for a first map.

        Raises:
            ProbeError: `query` if a system of this kind does not report it.
        """

    def clock(self) -> ClockSample:
        """Read the system's clock."""

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """Say how it is known that this connection cannot write.

        Raises:
            ProbeError: `permission` when a write would be accepted.
            UnprovedError: it could neither be proved nor disproved.
        """

    def close(self) -> None:
        """Release everything; running calls end with an error."""


@runtime_checkable
class AnnouncesChanges(Protocol):
    """A record probe whose system can announce changes as they happen.

    Announcements come in addition to `changed`: they may be late, come twice, or be missing.
    """

    def announces(self, spec: ReadSpec) -> bool:
        """Whether the map requests announcements of this collection."""

    def announced(self, spec: ReadSpec, after: str | None, limit: int, wait_s: float) -> Announcements:
        """Wait for announcements and return about `limit` of them.

        It may take `wait_s` and one deadline. `close()` ends it.

        Args:
            after: the position after which to continue, which may be days old; None for what is announced from now
                on.

        Raises:
            ProbeError: `cursor_lost` if the system no longer has the announcements after this position; `timeout` if
                nothing at all arrived, so that the connection must be taken for dead.
        """
