"""Regular expressions of the map: what they mean is what they mean to `re`, and none takes long."""

from __future__ import annotations

import re
import sys
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath import JSONPathError
from pydantic import ValidationError

from checks.validity import Validity, violation
from probes import json_paths
from probes.contract import ProbeError
from probes.patterns import Pattern, PatternError, pattern
from probes.records.rest import answers
from tests.attacks.patterns import REFUSED, SLOW

LONG_S = 20.0
"""Seconds on a processor: a hundred times what the slowest takes; the other engine would take years."""

CORPUS = [
    r"[A-Z]{2}\d{4}",
    r"\d+",
    r"\w+",
    r"\W*",
    r"\s*",
    r"\S+@\S+\.\S+",
    r"[^@\s]+@[^@\s]+",
    r"^abc$",
    r"abc$",
    r"^$",
    r"",
    r"a|b|",
    r"(a|b)*c?",
    r"(?:ab)+",
    r"a{2,3}",
    r"a{,3}",
    r"a{2,}",
    r"a{}",
    r"a{x}",
    r"{",
    r"}",
    r"]",
    r"[]]",
    r"[]a]+",
    r"[^]a]+",
    r"[[]",
    r"[a[b]+",
    r"[a&&b]+",
    r"[a~~b]+",
    r"[a||b]+",
    r"[-a]+",
    r"[a-]+",
    r"[\w-]+",
    r"[\d.,]+",
    r"[\]\[]",
    r"[\\]",
    r"\\",
    r"\.",
    r"\-",
    r"\ ",
    r"\/",
    r"\"",
    r"\#",
    r"\&",
    r"\~",
    r"\%",
    r"\@",
    r"\é",
    r"\n",
    r"\t",
    r"\x41",
    r"\u0041",
    r"\U0001f600",
    r"\N{BULLET}",
    r"\0",
    r"\012",
    r"[\b]",
    r"\bfoo\b",
    r"\Boo",
    r"foo\Z",
    r"\Afoo",
    r"(?i)straße",
    r"(?i)ÄÖ",
    r"(?i:a)b",
    r"(?-i:a)(?i:b)",
    r"(?s).+",
    r".+",
    r"(?m)^a$\n^b$",
    r"(?a)\w+",
    r"(?x) a  b # c",
    r"(?P<year>\d{4})-(?P<month>\d\d)",
    r"(?:(?:a|b)+c)*",
    r"a*?b+?c??",
    r"(?#comment)a",
    r"[\s\S]*",
    r"[^\d\s]+",
    r"\D+",
    r"[\x00-\x1f]+",
    r"[^\x00-\x7f]+",
    r"[а-яё]+",
    r"[\u4e00-\u9fff]{1,4}",
    r"a$|b$",
    r"(a|b$)",
    r"(?:a$)?",
    r"^a|^b",
    r"a.c",
    r"[0-9a-f]{8}-[0-9a-f]{4}",
    r"\+?[0-9 ]{5,15}",
    r"[A-Z][a-z]+(?: [A-Z][a-z]+)*",
    r"\d{1,3}(?:,\d{3})*(?:\.\d+)?",
    r"(?:https?://)?[\w.-]+",
    r"[^\W_]+",
    r"[^\w]",
    r"[\w\s]",
    r"(?i)[k-s]+",
    r"a\nb",
    r"a\n$",
    r"x{0}",
    r"(?:){3}",
]
TEXTS = [
    "", "a", "b", "ab", "abc", "abc\n", "abc\n\n", "\nabc", "AB1234", "ab1234", "a b", "foo", "food",
    "foo bar", "\n", "a\n",
    "a\nb", "b\n", "42", "4.2", "1,234.5", "٣٤", "²", "x²", "Ⅷ", "é", "e\u0301", "ÄÖ", "äö", "Straße",
    "STRASSE", "straße",
    "STRAßE", "ſ", "K", "k", "s", "İ", "a_b", "a-b", "[", "]", "[a", "a[b", "&", "&&", "a&b", "--", "~~",
    "||", "{", "}", "a{}",
    "a{x}", "aaa", "aaaa", "\\", ".", "-", " ", "/", '"', "#", "%", "@", "\t", "\0", "\x08", "\x1c", "\x1f",
    "\u00a0", "\u2003",
    "\u200b", "\ufeff", "😀", "•", "漢字", "привет", "x@y.z", "2026-03", "12345678-abcd", "+49 30 123456",
    "Ada Lovelace", "A",
    "\r\n", "\r", "a\r", "https://a.b", "c", "ac", "abcabc", "foo\n", "oo", "a.c", "a\nc", "\u2028", "\x85",
]  # fmt: skip


def told(expression: str, text: str) -> tuple[bool, bool]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.fullmatch(expression, text) is not None, re.search(expression, text) is not None


@pytest.mark.parametrize("expression", CORPUS)
def test_means_what_it_means_to_re(expression: str) -> None:
    ready = Pattern(expression)
    for text in TEXTS:
        assert (ready.fullmatch(text), ready.search(text)) == told(expression, text), (expression, text)


ALPHABET = "aAbk1 .-_\n[]{}()|*+?^$\\dwsDWSbBAZéßſK,:0"


@settings(max_examples=1000)
@given(st.text(ALPHABET, max_size=12), st.lists(st.text("aAbk1 .-_\néßſK,:0d{}", max_size=8), min_size=1, max_size=6))
def test_any_expression_means_the_same_or_is_refused(expression: str, texts: list[str]) -> None:
    try:
        ready = Pattern(expression)
    except PatternError:
        return
    for text in texts:
        if r"\B" in expression and not text:
            continue  # where Python 3.14 reads it otherwise than its forerunners
        assert (ready.fullmatch(text), ready.search(text)) == told(expression, text), (expression, text)


EVERY = [
    r"\d",
    r"\w",
    r"\s",
    r"\W",
    ".",
    "[^a]",
    r"[\w.-]",
    "(?i)k",
    "(?i)ß",
    "(?i)i",
    "(?a)\\w",
    "(?a)\\s",
    r"a\b.|\B.",
]


@pytest.mark.parametrize("expression", EVERY)
def test_every_character_is_of_the_same_kind(expression: str) -> None:
    ready, other = Pattern(expression), re.compile(expression)
    for code in range(0, sys.maxunicode + 1, 7 if code_is_slow(expression) else 1):
        text = chr(code)
        assert ready.fullmatch(text) == (other.fullmatch(text) is not None), hex(code)


def code_is_slow(expression: str) -> bool:
    """Every seventh character is enough where others of the same kind are tried whole."""
    return expression not in {r"\w", r"(?i)i"}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    expression, text = SLOW[name]
    begun = time.thread_time()
    violation(Validity(matches=expression), text, text)
    document = {"items": [{"text": text, "id": 1}]}
    for path in (
        f"$.items[?match(@.text, {quoted(expression)})].id",
        f"$.items[?search(@.text, {quoted(expression)})].id",
        f"$.items[?@.text =~ /{expression.replace('/', '[/]')}/].id",
    ):
        try:
            json_paths.first(path, document)
            answers.find(path, document)
        except (json_paths.PathError, ProbeError) as error:
            assert "characters is not matched" in str(error)  # noqa: PT017  it may match or be refused
    assert time.thread_time() - begun < LONG_S


def quoted(expression: str) -> str:
    return "'" + expression.replace("\\", "\\\\").replace("'", "\\'") + "'"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_matched_in_time_is_refused_when_the_map_is_read(name: str) -> None:
    expression, said = REFUSED[name]
    with pytest.raises(PatternError, match=said):
        pattern(expression)
    with pytest.raises(ValidationError, match=said):
        Validity(matches=expression)


@pytest.mark.parametrize("call", ["match(@.a, {})", "search(@.a, {})", "@.a =~ {}"])
@pytest.mark.parametrize("expression", ["(?=a)b", "(a)(", "(?!x).*"])
def test_a_path_with_such_an_expression_is_refused_too(call: str, expression: str) -> None:
    written = f"/{expression}/" if "=~" in call else quoted(expression)
    with pytest.raises(JSONPathError):
        json_paths.compiled(f"$[?{call.format(written)}]")


def test_paths_find_what_they_found() -> None:
    document = [{"a": "foo"}, {"a": "food"}, {"a": "FOO"}, {"a": 5}, {"b": "foo"}, {"a": "x", "p": "x+"}]
    assert answers.find("$[?match(@.a, 'fo+')].a", document) == ["foo"]
    assert answers.find("$[?search(@.a, 'fo+')].a", document) == ["foo", "food"]
    assert answers.find("$[?@.a =~ /foo/i].a", document) == ["foo", "FOO"]
    assert answers.find("$[?match(@.a, @.p)].a", document) == ["x"]


def test_a_text_with_half_a_character_is_matched() -> None:
    assert Pattern("a.b").fullmatch("a\ud800b")
    assert Pattern("a\ud800b").fullmatch("a\ud800b")
    assert not Pattern("[a-z]+").fullmatch("a\ud800b")


def test_a_value_that_is_too_long_is_told_to_be() -> None:
    text = "a" * 3_000_000
    assert violation(Validity(matches=r"\w+b*"), text, text).startswith(r"cannot match \w+b*: a text of more than")
    assert violation(Validity(matches=r"\w{1,255}"), text, text) == r"does not match \w{1,255}"
    assert violation(Validity(matches=r"[\w.]{1,64}@[\w.-]{1,255}"), "ü@é", "ü@é") == ""
