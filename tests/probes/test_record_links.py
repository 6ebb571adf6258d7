"""Templates of addresses: what may stand in one, and that a key cannot change where it leads."""

from __future__ import annotations

import re

import pytest

from probes.record_links import check_link, filled, wrong_places


@pytest.mark.parametrize(
    "template",
    [
        "",
        "https://acme.lightning.force.com/{key}",
        "http://127.0.0.1:8080/{collection}?ids={key}#top",
        "https://crm.example/a@b/{tenant_id}/{id}",
        "https://[::1]:8443/{key}",
    ],
)
def test_an_address_of_a_page_is_accepted(template: str) -> None:
    assert check_link(template) == template


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("JaVaScRiPt:alert({key})", "begins with http:// or https://"),
        ("javascript://x/{key}", "begin with http:// or https://"),
        ("data:text/html,{key}", "begins with http:// or https://"),
        ("//{key}", "begins with http:// or https://"),
        ("file:///etc/{key}", "begin with http:// or https://"),
        ("see page 7", "begins with http:// or https://"),
        ("https:///{key}", "has no host"),
        ("https://{key}/", "host cannot depend"),
        ("https://crm{key}.example/", "host cannot depend"),
        ("https://ada@crm.example/{key}", "no login"),
        ("https://crm.example/a b/{key}", "percent-encode"),
        ("https://crm.example/ä/{key}", "percent-encode"),
        ("https://crm.example/<b>/{key}", "percent-encode"),
        ("https://crm.example/a|b/{key}", "percent-encode"),
        ("https://crm.example/{key}\n", "control character"),
        ("https://crm.example/{key", "brace"),
        ("https://crm.example/{{key}}", "brace"),
    ],
)
def test_what_is_no_address_or_could_lead_elsewhere_is_refused(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_link(template)


def test_a_placeholder_that_cannot_be_filled_is_named() -> None:
    assert "did you mean 'key'" in wrong_places("https://crm.example/{kez}", ["key"])
    assert "did you mean 'own_key'" in wrong_places("https://crm.example/{own_kye}", ["key", "own_key"])
    assert "write {key} or {own_key} where" in wrong_places("https://crm.example/{collection}", ["key", "own_key"])
    assert wrong_places("https://crm.example/{collection}/{key}", ["key"]) == ""
    assert wrong_places("", ["key"]) == ""


@pytest.mark.parametrize("key", ["../admin?x=1#y", "a/b", "a b", "é", "?", "#", "%2e%2e", '"><script>', "\ud800"])
def test_a_key_stays_within_its_part_of_an_address(key: str) -> None:
    made = filled("https://crm.example/c/{key}?tab=1", {"key": key})
    assert made is not None
    assert re.fullmatch(r"https://crm\.example/c/[A-Za-z0-9._~%-]*\?tab=1", made)


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_a_key_that_is_a_step_in_a_path_has_no_address(key: str) -> None:
    assert filled("https://crm.example/c/{key}", {"key": key}) is None


def test_a_record_without_the_value_of_a_placeholder_has_no_address() -> None:
    assert filled("https://crm.example/{own_key}", {"key": "7"}) is None
    assert filled("", {"key": "7"}) is None
