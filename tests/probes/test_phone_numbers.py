"""Keys that are phone numbers: one form for every writing, and the digits with which each of them ends."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, example_number, format_number, format_out_of_country_calling_number

from probes.phone_numbers import SEPARATORS, TAIL, NotPhoneNumberError, digits_of, e164, region_of, regions, tail

WRITTEN = [
    ("030 12 34 56", "DE", "+4930123456"),
    ("+49 (0)30 123456", None, "+4930123456"),
    ("0049 30/123-456", "DE", "+4930123456"),
    ("(415) 555-2671", "US", "+14155552671"),
    ("415.555.2671", "US", "+14155552671"),
    ("011 49 30 123456", "US", "+4930123456"),
    ("8 916 123-45-67", "RU", "+79161234567"),
    ("02902 15 404040", "AR", "+5492902404040"),
    ("06 1234 5678", "IT", "+390612345678"),
]


@pytest.mark.parametrize(("text", "region", "form"), WRITTEN)
def test_a_number_has_one_form_however_it_is_written(text: str, region: str | None, form: str) -> None:
    assert e164(text, region) == form
    assert e164(form, region) == form


@pytest.mark.parametrize(
    ("text", "region", "why"),
    [
        ("030 123456", None, "set key_region"),
        ("030 123456 ext. 5", "DE", "other than digits and separators"),
        ("030 123456;ext=5", "DE", "other than digits and separators"),
        ("1-800-FLOWERS", "US", "other than digits and separators"),
        ("٠٣٠١٢٣٤٥٦", "DE", "other than digits and separators"),
        ("110", "DE", "digits of its own"),
        ("", "DE", "other than digits and separators"),
        ("+", "DE", "other than digits and separators"),
        ("+999 123456", None, "not a phone number"),
        ("0" * 50, "DE", "other than digits and separators"),
    ],
)
def test_what_cannot_be_looked_up_is_no_key(text: str, region: str | None, why: str) -> None:
    with pytest.raises(NotPhoneNumberError, match=why) as refused:
        e164(text, region)
    assert text.strip() == "" or text not in str(refused.value)


@pytest.mark.parametrize("kind", ["FIXED_LINE", "MOBILE", "TOLL_FREE"])
def test_the_usual_writings_of_every_region_are_one_key_and_end_alike(kind: str) -> None:
    for region in sorted(regions()):
        number = phonenumbers.example_number_for_type(region, getattr(phonenumbers.PhoneNumberType, kind))
        if number is None:
            continue
        texts = [
            format_number(number, each)
            for each in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)
        ]
        texts.append(format_out_of_country_calling_number(number, region))
        for text in texts:
            try:
                form = e164(text, region)
            except NotPhoneNumberError:
                assert len(phonenumbers.national_significant_number(number)) < TAIL
                continue
            assert (form, digits_of(text)[-TAIL:]) == (texts[0], tail(texts[0]))


@given(st.sampled_from(sorted(regions())), st.text(st.sampled_from(f"0123456789+{SEPARATORS}"), max_size=22))
def test_every_accepted_writing_ends_with_the_digits_it_is_looked_up_by(region: str, text: str) -> None:
    try:
        form = e164(text, region)
    except NotPhoneNumberError:
        return
    assert e164(form, None) == form
    assert digits_of(text)[-TAIL:] == tail(form)


def test_regions_are_those_with_a_numbering_plan() -> None:
    assert {"DE", "US", "CH"} <= regions()
    assert example_number("DE") is not None


def test_the_region_of_a_number() -> None:
    assert [region_of(each) for each in ("+4930123456", "+12025550123", "+80012345678")] == ["DE", "US", None]
