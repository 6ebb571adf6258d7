"""Templates of the address under which a system shows one of its records to people. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator

from probes.addresses import WEB, check_address
from probes.wording import did_you_mean

KEY, OWN_KEY, COLLECTION = "key", "own_key", "collection"
"""Placeholders: the key of the data type, the key that a crosswalk pairs with it, and the collection's name."""

_PLACE = re.compile(r"\{([^{}]*)\}")
_WRITTEN = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%{}-]+")
"""The characters of an address (RFC 3986, section 2), and braces."""


def check_link(template: str) -> str:
    """Check that a template becomes the address of a web page, of which a key cannot change the host.

    Raises:
        ValueError: it does not; says how to write it.
    """
    if not template:
        return template  # as from a variable that is not set
    check_address(_PLACE.sub("x", template), login=False, schemes=WEB)
    if not _WRITTEN.fullmatch(template):
        raise ValueError("percent-encode what an address cannot contain, such as a space (%20) or ä (%C3%A4)")
    authority = re.split(r"[/?#]", template.partition("://")[2], maxsplit=1)[0]
    if not authority:
        raise ValueError("the address has no host; write for example https://crm.example.com/customers/{key}")
    if "@" in authority:
        raise ValueError("everybody sees a link, so it carries no login: write the host alone")
    if "{" in authority:
        raise ValueError("the host cannot depend on the record: a placeholder stands behind the host's name")
    if "{" in _PLACE.sub("", template) or "}" in _PLACE.sub("", template):
        raise ValueError("percent-encode a brace that is no placeholder: { as %7B, } as %7D")
    return template


Link = Annotated[str, AfterValidator(check_link)]
"""A template as the map holds it; an empty one is none."""


def wrong_places(template: str, allowed: Collection[str]) -> str:
    """What is wrong with the placeholders of a template; "" if nothing is.

    Args:
        allowed: the placeholders that identify a record.
    """
    places = _PLACE.findall(template)
    known = [*allowed, COLLECTION]
    for each in places:
        if each not in known:
            return f"unknown placeholder {{{each}}}{did_you_mean(each, known)}"
    if template and not set(places) & set(allowed):
        named = " or ".join(f"{{{each}}}" for each in allowed)
        return f"it leads to the same page for every record; write {named} where the record's key belongs"
    return ""


def filled(template: str, values: Mapping[str, str]) -> str | None:
    """The address of a record; None if a value is missing, or has no place in an address.

    A browser treats the path segment `..` as a step up, however it is encoded.
    """
    places = _PLACE.findall(template)
    if not template or any(values.get(each, "..") in {"", ".", ".."} for each in places):
        return None
    return _PLACE.sub(lambda found: quote(values[found[1]], safe="", errors="surrogatepass"), template)
