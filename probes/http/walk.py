"""Walking a paged list of an HTTP API: the next page, and whether the walk ends."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from probes.addresses import plain_address
from probes.contract import ProbeError, Reason

EMPTY_LIMIT = 1_000
"""Consecutive empty pages after which a list counts as endless."""

How = Literal["key", "cursor", "url", "offset", "page", "since"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The position of a walk; its text is a probe's `next`.

    Attributes:
        how: the kind of `at`: the last key, the API's own cursor, the path and query of the next page, the number of
            records met, the number of the page, or the last stamp.
        size: the requested page size, if page numbers depend on it.
        pages: how many pages were read.
        mark: a digest of one page's records, to recognise a page that repeats.
        empty: how many of the last pages were empty.
        seen: the records met by a walk by stamps.
    """

    how: How
    at: str | int
    size: int | None = None
    pages: int = 0
    mark: str = ""
    empty: int = 0
    seen: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """The place as text."""
        return json.dumps(asdict(self))


def place_of(text: str) -> Place:
    """A place from its text.

    Raises:
        ProbeError: `cursor_lost` for a text not written by this release.
    """
    try:
        parts = json.loads(text)
        parts["seen"] = tuple((key, mark) for key, mark in parts["seen"])
        return Place(**parts)
    except (ValueError, TypeError, KeyError):
        raise ProbeError(Reason.CURSOR_LOST, "a cursor of an earlier release or of another map") from None


def went_on(before: Place | None, after: Place, keys: Sequence[Any]) -> Place:
    """The next place of a walk, with its history so far.

    Args:
        keys: the keys of the page that led there.

    Raises:
        ProbeError: `query` if the walk does not advance, goes in a circle, or only meets empty pages.
    """
    pages = (before.pages if before else 0) + 1
    if before is not None and (before.how, before.at) == (after.how, after.at):
        raise _no_end(f"page {pages} leads to itself")
    empty = 0 if keys else (before.empty if before else 0) + 1
    if empty > EMPTY_LIMIT:
        raise _no_end(f"{EMPTY_LIMIT} pages in a row held no record")
    mark = before.mark if before else ""
    if keys:
        digest = hashlib.sha256(repr(list(keys)).encode("utf-8", "backslashreplace")).hexdigest()[:16]
        if digest == mark:
            raise _no_end(f"page {pages} holds the records of an earlier one")
        # Brent's algorithm finds a cycle of any length: keep the page of each power of two.
        if pages & (pages - 1) == 0 or not mark:
            mark = digest
    return replace(after, pages=pages, mark=mark, empty=empty)


def _no_end(what: str) -> ProbeError:
    return ProbeError(
        Reason.QUERY,
        f"the list has no end: {what}",
        hint="does the API support the parameters that list: uses for paging? see next:, more: and limit: in the map",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A page of a list that is read in full.

    Attributes:
        further: where the list continues, in the API's own form; None after its end.
        total: the list's own record count; None if it has none.
    """

    records: Sequence[Any]
    further: str | None
    total: int | None = None


def whole(first: Part, ask: Callable[[str], Part], identity: Callable[[Any], Hashable]) -> list[Any]:
    """All records of a list, from all its pages, read within one call.

    Args:
        ask: reads the page at `further`.
        identity: returns what identifies a record.

    Raises:
        ProbeError: `decode` if a page came twice or is missing: then absence proves nothing.
    """
    records, met, seen, part = list(first.records), {identity(each) for each in first.records}, set[str](), first
    while part.further is not None and len(met) == len(records):
        if part.further in seen:
            raise ProbeError(Reason.DECODE, "a page of the list leads to an earlier one")
        seen.add(part.further)
        part = ask(part.further)
        records += part.records
        met |= {identity(each) for each in part.records}
    if len(met) != len(records) or first.total not in {None, len(records)}:
        total = "an unknown number" if first.total is None else first.total
        raise ProbeError(Reason.DECODE, f"{len(met)} of {total} records arrived: a page was repeated or skipped")
    return records


_NAME = r"[\w!#$%&'*+.^`|~-]+"
_VALUE = r'\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))'
_PARAMETER = re.compile(rf"\s*;\s*({_NAME})(?:{_VALUE})?")
_LINK = re.compile(rf"\s*<([^>]*)>((?:{_PARAMETER.pattern})*)\s*(?:,|$)")


def next_link(header: str | None) -> str | None:
    """The target of `rel=next` in a Link header, None if it has none.

    Source: RFC 8288, Web Linking, sections 3 and 3.3: a link's first `rel` counts, and may name several relations.
    """
    at = 0
    while header is not None and (link := _LINK.match(header, at)) and link.end() > at:
        at = link.end()
        for name, quoted, token in _PARAMETER.findall(link[2]):
            if name.lower() == "rel":
                if "next" in (quoted or token).lower().split():
                    return link[1]
                break
    return None


def within(origin: SplitResult, current: str, target: str) -> str:
    """The path and query of a page's address, which must be on the system itself.

    Args:
        origin: the system's own address.
        current: path and query of the page that names it.

    Raises:
        ProbeError: `query` for an address on another host; a request carries the system's secrets.
    """
    try:
        address = urlsplit(urljoin(f"{origin.scheme}://{origin.netloc}{current}", target))
        port = _port(address)
        elsewhere = address.hostname != origin.hostname or port not in {_port(origin), _usual(address.scheme)}
    except ValueError:
        raise ProbeError(Reason.DECODE, "the address of the next page is not one") from None
    if elsewhere or address.scheme not in {"http", "https"}:
        raise ProbeError(
            Reason.QUERY,
            f"the next page is at {plain_address(address)}, on another host than {origin.hostname}",
            hint="it is not requested, because the request would carry this system's secrets",
        )
    return (address.path or "/") + (f"?{address.query}" if address.query else "")


def _port(address: SplitResult) -> int | None:
    return address.port or _usual(address.scheme)


def _usual(scheme: str) -> int | None:
    return {"http": 80, "https": 443}.get(scheme)
