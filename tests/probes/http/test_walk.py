"""Lists that are read as a whole, and where a page says that the next one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from probes.contract import Reason
from probes.http.walk import Part, next_link, whole, within
from tests.probes.http.connected import failure

PAGES = {"": Part(records=[1, 2], further="b", total=5), "b": Part(records=[3, 4], further="c")}
PAGES |= {"c": Part(records=[5], further=None)}


def read(pages: Mapping[str, Part]) -> list[Any]:
    return whole(pages[""], lambda further: pages[further], identity=int)


def test_all_pages_are_one_list() -> None:
    assert read(PAGES) == [1, 2, 3, 4, 5]
    assert read({"": Part(records=[], further=None, total=0)}) == []
    assert read({**PAGES, "": Part(records=[1, 2], further="b")}) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "changed",
    [
        {"b": Part(records=[1, 2], further="c")},
        {"b": Part(records=[4], further="c")},
        {"": Part(records=[1, 2], further="c", total=5)},
        {"c": Part(records=[5, 6], further=None)},
        {"c": Part(records=[5], further="b")},
        {"b": Part(records=[], further="b")},
        {"": Part(records=[1, 1], further="b", total=5)},
    ],
    ids=["repeated", "part left out", "skipped", "too many", "circle", "itself", "twice on a page"],
)
def test_a_page_that_is_repeated_or_left_out_is_noticed(changed: dict[str, Part]) -> None:
    assert failure(lambda: read(PAGES | changed)).reason is Reason.DECODE


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://x/?page=2>; rel="next"', "https://x/?page=2"),
        ('<a>; rel=prev, <b>; title="x, y"; rel="last next"', "b"),
        ("<a>; rel=prev", None),
        ("<a", None),
        (None, None),
    ],
)
def test_a_link_header_says_where_the_next_page_is(header: str | None, target: str | None) -> None:
    assert next_link(header) == target


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("?page=2", "/v1/list?page=2"),
        ("/other?x", "/other?x"),
        ("https://api.example.com/v1/a", "/v1/a"),
        ("https://api.example.com:443/v1/a", "/v1/a"),
    ],
)
def test_an_address_on_the_systems_own_host_is_followed(target: str, wanted: str) -> None:
    assert within(urlsplit("https://api.example.com"), "/v1/list?page=1", target) == wanted


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/v1/a",
        "//elsewhere.example/a",
        "https://api.example.com.elsewhere.example/",
        "https://api.example.com:444/",
        "ftp://api.example.com/",
        "https://me@elsewhere.example/",
    ],
)
def test_an_address_elsewhere_is_not(target: str) -> None:
    error = failure(lambda: within(urlsplit("https://api.example.com"), "/v1/list", target))
    assert (error.reason, "is not requested" in error.hint) == (Reason.QUERY, True)
