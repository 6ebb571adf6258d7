"""Addresses and words of the map that cannot be meant: refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from probes.records.rest.settings import RestSettings
from tests.probes.records.rest.apis import spec_of


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "https:///nowhere",
        "https://me:p@ss/w@rd@host",
        "https://host/a#b",
        "https://ho st/",
        "host:x",
        "https://me:12/3@host/",
    ],
)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValidationError) as failed:
        RestSettings.model_validate({"kind": "rest", "url": url})
    told = failed.value.errors(include_input=False)[0]["msg"]
    assert url not in told
    assert "ss/w" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"list": "/c?after={cursor}"}, "no value {cursor}"),
        ({"list": "/c?after={after}&offset={offset}"}, "not by both"),
        ({"list": "/c?page={page}"}, "set limit:"),
        ({"changed": "/c?since={since}&after={after}"}, "set next:"),
        ({"changed": "/c"}, "changed needs {since}"),
        ({"list": "https://elsewhere/c"}, "not an address of its own"),
        ({"list": "/c#{after}"}, "%23"),
        ({"next": "$.next"}, "no list: or changed:"),
        ({"more": "has_more", "list": "/c?after={after}"}, "not a JSONPath"),
        ({"many": {"read_only_post": "/c/{key}", "body": {}}}, "values belong into body:"),
        ({"many": {"read_only_post": "/c", "body": {"ids": "{ids}"}}}, "no value {ids}"),
        ({"many": {"post": "/c"}}, "write a path for GET, or for a POST that only reads"),
        ({"many": {"read_only_post": "/c", "method": "PUT"}}, "unknown word 'method'; known: read_only_post, body"),
        ({"many": {"read_only_post": 5}}, "read_only_post: Input should be a valid string"),
        ({"many": 5}, "write a path for GET"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as failed:
        spec_of(**words)
    assert told in str(failed.value)
