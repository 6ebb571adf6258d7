"""The list of what may be sent: GET and HEAD, and each POST that somebody named."""

from __future__ import annotations

import re

import pytest

from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads


@pytest.mark.parametrize("request_", [("GET", "/"), ("HEAD", "/a/b?c=d"), ("GET", "/a%20b/../c?x=%0A")])
def test_reads_by_definition_are_always_on_it(request_: tuple[str, str]) -> None:
    assert request_ in AllowedReads()


@pytest.mark.parametrize(
    "request_",
    [
        ("POST", "/search"),
        ("PUT", "/search"),
        ("DELETE", "/search"),
        ("PATCH", "/search"),
        ("get", "/search"),
        ("GET", "search"),
        ("GET", "/a b"),
        ("GET", "/a\nPOST /b"),
        ("GET /", ""),
    ],
)
def test_nothing_else_is(request_: tuple[str, str]) -> None:
    assert request_ not in AllowedReads()


def test_a_named_post_is_one_path_with_whatever_query() -> None:
    allowed = AllowedReads()
    allowed.add_post("/crm/v3/objects/contacts/search")
    assert ("POST", "/crm/v3/objects/contacts/search") in allowed
    assert ("POST", "/crm/v3/objects/contacts/search?archived=true") in allowed
    for other in ("/crm/v3/objects/contacts", "/crm/v3/objects/contacts/search/", "/crm/v3/objectsXcontacts/search"):
        assert ("POST", other) not in allowed
    assert allowed.posts == ("/crm/v3/objects/contacts/search",)


def test_a_path_is_no_pattern() -> None:
    allowed = AllowedReads()
    allowed.add_post("/.*")
    assert ("POST", "/anything") not in allowed


def test_an_api_may_allow_less() -> None:
    allowed = AllowedReads([re.compile(r"GET /query\?q=[^&]*")])
    assert ("GET", "/query?q=x") in allowed
    assert ("GET", "/query?q=x&more=y") not in allowed
    assert ("GET", "/other") not in allowed


def test_no_list_allows_a_method_that_writes() -> None:
    allowed = AllowedReads([re.compile(r"[A-Z]+ /.*")])
    assert ("POST", "/x") in allowed
    assert ("DELETE", "/x") not in allowed


def test_what_is_not_on_it_is_told_without_its_query() -> None:
    with pytest.raises(ProbeError) as failed:
        AllowedReads().check("POST", "/x?token=abc")
    assert (failed.value.reason, "abc" in str(failed.value)) == (Reason.QUERY, False)
    assert "read_only_post" in failed.value.hint
