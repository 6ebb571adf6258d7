"""Keys whose case does not matter: one form for every writing, and every writing among those that are looked up."""

from __future__ import annotations

import unicodedata
from sys import maxunicode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.letter_case import ASCII_LETTERS, folded, is_countable, is_in_one_form, loose, writings

LOWER = {ord(letter): letter.lower() for letter in ASCII_LETTERS}

CASED = [
    sign for code in range(128, maxunicode + 1) if (sign := chr(code)).lower() != sign or sign.casefold() != sign
]

TEXTS = st.text(
    st.one_of(st.sampled_from(CASED), st.sampled_from("aIiſsSkK.@\u0301\u0307\u0308\u0345"), st.characters()),
    max_size=6,
)


def forms(text: str) -> list[str]:
    return [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]


@given(TEXTS)
def test_the_form_of_a_key_is_its_own_form(text: str) -> None:
    for each in forms(text):
        key = folded(each)
        assert folded(key) == key
        assert [folded(form) for form in forms(each)] == [key, key]


@given(TEXTS)
def test_every_text_is_among_the_writings_of_its_key(text: str) -> None:
    for each in filter(None, forms(text)):
        key = folded(each)
        assert not is_countable(key) or each.translate(LOWER) in writings(key)


@pytest.mark.parametrize("sign", ["", "a", "\u0301", "\u0308\u0301"], ids=ascii)
def test_every_letter_with_a_case_is_among_the_writings_of_its_key(sign: str) -> None:
    lost = [
        each
        for letter in CASED
        for each in forms(letter + sign)
        if each.translate(LOWER) not in writings(folded(each))
    ]
    assert lost == []


def test_letters_that_only_some_languages_or_programs_take_for_the_same_stay_apart() -> None:
    apart = ["strasse", "straße", "istanbul", "ıstanbul", "İstanbul", "i\u0307stanbul", "ﬁn", "fin", "ſo", "so"]
    assert len({folded(each) for each in apart}) == len(apart)
    assert folded("STRAẞE") == "straße"
    assert folded("ΟΔΟΣ") == folded("οδος") == folded("οδοσ")


def test_no_letter_beyond_ascii_becomes_one_of_ascii() -> None:
    assert [sign for sign in CASED if folded(sign, compose=False).isascii()] == []


def test_a_text_with_both_composed_and_decomposed_letters_is_told_apart() -> None:
    assert is_in_one_form("é" + "x")
    assert is_in_one_form("e\u0301")
    assert not is_in_one_form("ée\u0301")
    assert not is_in_one_form("\u212a")  # Kelvin, which Unicode composes to K


def test_keys_that_software_takes_for_the_same_are_loosely_the_same() -> None:
    others = set(map(loose, ["straße", "ıstanbul", "rené"]))
    keys = ["strasse", "istanbul", "rene", "ann"]
    assert [each for each in keys if loose(each) in others] == ["strasse", "istanbul", "rene"]


def test_a_key_with_too_many_writings_has_its_usual_ones() -> None:
    key = folded("Иван.Петров@Пример.рф")
    assert not is_countable(key)
    assert {key, "ИВАН.ПЕТРОВ@ПРИМЕР.РФ", "Иван.Петров@Пример.Рф"} <= set(writings(key))
