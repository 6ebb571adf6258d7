"""Keys that are phone numbers (`key_type: phone`): their one form, E.164, and what every writing of one ends with.

No database can normalise a phone number. So records are looked up by the last digits of the number, with which every
writing ends that is accepted here, and their keys are compared in E.164.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

PHONE = "phone"
"""The key type."""

TAIL = 6
"""The digits by which a number is looked up: one writing in a million ends with the same ones by chance."""

SEPARATORS = " -./()\u00a0\u202f\u2009\u2010\u2011\u2012\u2013\u2014"
"""Signs between the digits of a writing. Everything else makes it no phone number: an extension, a word, a second
number."""

LONGEST = 40
"""Most characters of a writing: E.164 has 15 digits."""

EXTRA = "pip install 'plumbline-auditor[phone]'"


class NotPhoneNumberError(ValueError):
    """A text that is no phone number, and why."""


@cache
def library() -> ModuleType | None:
    """The library with the numbering plans; None if it is not installed."""
    try:
        import phonenumbers
    except ModuleNotFoundError:
        return None
    loaded: ModuleType = phonenumbers
    return loaded


def regions() -> frozenset[str]:
    """The regions with a numbering plan, as two letters (ISO 3166-1)."""
    plans = library()
    return frozenset() if plans is None else frozenset(plans.SUPPORTED_REGIONS)


def e164(text: str, region: str | None) -> str:
    """A phone number in its one form, such as `+4930123456`.

    Args:
        region: of numbers without a country code; without it they are refused.

    Raises:
        NotPhoneNumberError: why it cannot be a key; the text itself is not in the message.
    """
    plans = library()
    if plans is None:
        raise NotPhoneNumberError(f"a phone number, and phonenumbers is not installed: {EXTRA}")
    digits = digits_of(text)
    if len(text) > LONGEST or not digits.removeprefix("+").isdecimal() or not digits.isascii():
        raise NotPhoneNumberError("a phone number that holds something other than digits and separators")
    if region is None and not digits.startswith("+"):
        raise NotPhoneNumberError("a phone number without a country code; set key_region")
    try:
        number = plans.parse(digits, region)
    except plans.NumberParseException:
        raise NotPhoneNumberError("not a phone number") from None
    if number.extension or not plans.is_possible_number(number):
        raise NotPhoneNumberError("a phone number that is too long, too short, or of no country")
    form: str = plans.format_number(number, plans.PhoneNumberFormat.E164)
    if len(plans.national_significant_number(number)) < TAIL or not digits.endswith(tail(form)):
        raise NotPhoneNumberError(f"a phone number that does not end with {TAIL} digits of its own")
    return form


def region_of(form: str) -> str | None:
    """The region of a number in its one form, as two letters; None if it has none (satellites, freephone)."""
    plans = library()
    region = None if plans is None else plans.region_code_for_number(plans.parse(form))
    return region if region in regions() else None


def digits_of(text: str) -> str:
    """A writing without separators."""
    return text.translate(_NO_SEPARATORS)


def tail(form: str) -> str:
    """The digits with which every writing of a number in its one form ends."""
    return form[-TAIL:]


_NO_SEPARATORS = dict.fromkeys(map(ord, SEPARATORS))
