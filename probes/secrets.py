"""Keeping secrets out of texts: whatever a driver, a server or a library puts into its message.

Everything that a plug-in's settings hold as a secret, and the password of every address among them, is taken out in
each form in which it may have been sent or shown: as it is, percent-encoded and decoded, escaped, in base64, in
another case (drivers fold the halves of a password that they take for a host), and cut off at the end of a text.

The name of a user is no secret, and it is often an ordinary word or the name of a table: it is taken out where it
stands as the login of an address and nowhere else. What the auditor itself says (a hint) is left as it is.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from pydantic import BaseModel, SecretStr

from probes.addresses import Login, login_of
from probes.contract import ProbeError, Reason

HIDDEN = "***"

SHORT = 4
"""Secrets below this length are only taken out where they stand as a word: they are part of too many others."""

NAMED = ("postgres", "mysql", "mariadb", "sqlite")
"""Schemes of which a login without a password is a name; elsewhere it may be a token."""

_RESERVED = re.compile(r"[@/:#?%&=\[\]\\\s;,+]+")
_ASSIGNED = re.compile(r"(?i)(?:key|secret|password|pwd|signature|token)\w*\s*=\s*([^;]+)")


class Scrubber:
    """Takes known secrets out of texts.

    Args:
        secrets: as they are.
        users: names of logins; they are taken out where they are the login of an address.
    """

    def __init__(self, secrets: Iterable[str], users: Iterable[str] = ()) -> None:
        secrets = list(secrets)
        whole = {form for secret in secrets if secret for form in _forms(secret)}
        self._ends = sorted((form.lower() for form in whole if len(form) > SHORT), key=len, reverse=True)
        # An address is a secret as a whole; its host is none, and whoever reads a message needs it.
        torn = {form for secret in secrets if secret and "://" not in secret for form in _forms(secret)}
        parts = {part for form in torn for part in _RESERVED.split(form) if len(part) >= SHORT} - whole
        patterns = [
            re.escape(form) if len(form) >= SHORT else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in sorted(whole, key=len, reverse=True)
        ]
        patterns += [rf"(?<![^\W_]){re.escape(part)}(?![^\W_])" for part in sorted(parts, key=len, reverse=True)]
        for form in sorted({form for user in users if user for form in _forms(user)}, key=len, reverse=True):
            patterns.append(rf"(?<=//){re.escape(form)}(?=[:@])")
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    @classmethod
    def of(cls, *settings: BaseModel | None) -> Scrubber:
        """One that knows every secret of these settings, and the login of every address in them."""
        secrets: list[str] = []
        users: list[str] = []
        for each in settings:
            for value, declared in _texts(each):
                login = login_of(value)
                secrets += [*_of_login(login), *login.parameters]
                users.append(login.user)
                if declared:
                    secrets += _of_secret(value)
                    names = [getattr(each, name, None) for name in ("user", "client_id")]
                    secrets += [_pair(name, value) for name in names if isinstance(name, str)]
        return cls(secrets, users)

    @classmethod
    def of_address(cls, address: str, *more: str) -> Scrubber:
        """One that knows the login of an address, and whatever more of it is secret."""
        login = login_of(address)
        return cls([*_of_login(login), *login.parameters, *more], [login.user])

    def __call__(self, text: str) -> str:
        """The text without any of them."""
        if self._pattern is None or not text:
            return text
        clean = self._pattern.sub(HIDDEN, text)
        folded = clean.lower()
        for form in self._ends:
            for length in range(min(len(form) - 1, len(folded)), SHORT - 1, -1):
                if folded.endswith(form[:length]):
                    return clean[:-length] + HIDDEN
        return clean

    def error(self, failure: BaseException) -> ProbeError:
        """A failure without secrets; what is no `ProbeError` becomes one."""
        if not isinstance(failure, ProbeError):
            told = " ".join(self(f"{type(failure).__name__}: {failure}").split())[:300]
            return ProbeError(Reason.DECODE, f"the probe failed: {told}")
        message = self(failure.message)
        if message == failure.message:
            return failure
        return type(failure)(
            failure.reason, message, hint=failure.hint, retry_after_s=failure.retry_after_s, of_key=failure.of_key
        )


def _texts(value: Any, *, declared: bool = False) -> Iterator[tuple[str, bool]]:
    """Every text in settings, and whether it was declared a secret."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value(), True
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _texts(each)
    elif value is not None and not isinstance(value, bool | int | float):
        yield str(value), False


def _of_login(login: Login) -> list[str]:
    """What of a login is secret: without a password the name may be one (a token)."""
    if not login.raw:
        return []
    if not login.password:
        return [] if login.scheme.startswith(NAMED) else [login.user]
    return [login.password, login.raw.partition(":")[2], _pair(login.user, login.password)]


def _pair(user: str, password: str) -> str:
    """A login as HTTP and SASL send it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _of_secret(value: str) -> list[str]:
    if "://" not in value or ";" in value:  # a connection string has its secrets behind their names
        assigned = [match.strip() for match in _ASSIGNED.findall(value)]
        return [value, *assigned, *(part for part in value.split() if len(part) >= 2 * SHORT)]
    return [value]


def _forms(secret: str) -> set[str]:
    """A secret as it may be written."""
    forms = {secret, " ".join(secret.split()), unquote(secret), unquote_plus(secret), html.escape(secret)}
    for each in tuple(forms):
        forms |= {quote(each, safe=""), quote(each), quote_plus(each), json.dumps(each)[1:-1], repr(each)[1:-1]}
    if len(secret) >= SHORT:
        forms.add(base64.b64encode(secret.encode()).decode().rstrip("="))
    return {form for form in forms if form.strip()}
