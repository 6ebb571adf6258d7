"""Keeping secrets out of texts, such as the messages of drivers, servers and libraries.

Every secret in a plug-in's settings, and the password in every address among them, is removed in each form in which
it may have been sent or shown: as it is, percent-encoded and decoded, escaped, in base64, in another case (drivers
fold parts of a password that they take for a host), and truncated at the end of a text.

A user name is not a secret, and is often an ordinary word or the name of a table: it is removed only where it is the
login of an address. The auditor's own words (a hint) are left as they are.
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

from probes.addresses import SECRET_PARAMETER, Login, login_of
from probes.contract import ProbeError, Reason

HIDDEN = "***"

SECRET_PART = 8
"""Parts of a webhook's path of at least this length count as secrets, unless they look like a word."""

SHORT = 4
"""Shorter secrets are only removed as whole words: they are part of too many others."""

NAMED = ("postgres", "mysql", "mariadb", "sqlite")
"""Schemes in which a login without a password is a name; elsewhere it may be a token."""

PIECE = 10
"""Fragments of a secret of at least this length are removed anywhere, because texts may be cut inside a secret."""

_RESERVED = re.compile(r"[@/:#?%&=\[\]\\\s;,+]+")
_PLACE = re.compile(r"\{\w+\}")
_PARAMETER = re.compile(r"([?&])([^=&#?\s]+)=([^&#\s]*)")
_ASSIGNED = re.compile(r"(?i)(?:key|secret|password|pwd|signature|token)\w*\s*=\s*([^;]+)")


class Scrubber:
    """Removes known secrets from texts.

    Args:
        secrets: in plain form.
        users: names of logins; they are removed where they are the login of an address.

    Attributes:
        secrets: as given.
    """

    def __init__(self, secrets: Iterable[str], users: Iterable[str] = ()) -> None:
        secrets = self.secrets = list(secrets)
        users = self._users = list(users)
        whole = {form for secret in secrets if secret for form in _forms(secret) | _further_forms(secret)}
        self._ends = sorted(_ends(secrets), key=lambda each: (-len(each[0]), each))
        # An address is a secret as a whole; its host is not, and readers of a message need it.
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
        further = {form for each in secrets if each and "://" not in each for form in _further_forms(each)}
        cut = {form for form in torn | further if len(form) > PIECE}
        self._pieces = sorted({_small(form) for form in cut}, key=len, reverse=True)

    @classmethod
    def of(cls, *settings: BaseModel | None) -> Scrubber:
        """A scrubber for every secret of these settings, and the login of every address in them."""
        secrets: list[str] = []
        users: list[str] = []
        for each in settings:
            for value, declared in _texts(each):
                login = login_of(value)
                secrets += [*_of_login(login), *login.parameters]
                secrets += parameters_of(value) if "://" in value else []
                users.append(login.user)
                if declared:
                    secrets += _of_secret(value)
                    names = [getattr(each, name, None) for name in ("user", "client_id")]
                    secrets += [_pair(name, value) for name in names if isinstance(name, str)]
        return cls(secrets, users)

    @classmethod
    def of_address(cls, address: str, *more: str) -> Scrubber:
        """A scrubber for the login of an address, and for further secrets in it."""
        login = login_of(address)
        return cls([*_of_login(login), *login.parameters, *parameters_of(address), *more], [login.user])

    def __call__(self, text: str) -> str:
        """The text without any secret."""
        if self._pattern is None or not text:
            return text
        folded = _small(text)
        spans = [match.span() for match in self._pattern.finditer(text)]
        spans += [span for form in self._pieces for span in _pieces(folded, form)]
        clean = _without(text, spans)
        folded = _small(clean)
        for form, least in self._ends:
            for length in range(min(len(form) - 1, len(folded)), least - 1, -1):
                if folded.endswith(form[:length]):
                    return clean[:-length] + HIDDEN
        return clean

    def knowing(self, secrets: Iterable[str]) -> Scrubber:
        """A scrubber with further secrets."""
        return Scrubber([*self.secrets, *secrets], self._users)

    def error(self, failure: BaseException) -> ProbeError:
        """A failure without secrets; other errors become a `ProbeError`."""
        if isinstance(failure, RecursionError):
            return ProbeError(Reason.DECODE, "the answer is nested too deeply to be read")
        if not isinstance(failure, ProbeError):
            text = " ".join(self(f"{type(failure).__name__}: {failure}").split())[:300]
            return ProbeError(Reason.DECODE, f"the probe failed: {text}")
        message = self(failure.message)
        if message == failure.message:
            return failure
        return type(failure)(
            failure.reason, message, hint=failure.hint, retry_after_s=failure.retry_after_s, of_key=failure.of_key
        )


def _ends(secrets: Iterable[str]) -> set[tuple[str, int]]:
    """Every form of some secrets, and how long a prefix must be to be recognised at the end of a text.

    The scheme of an address does not count: `crm.sqlite` is the name of a file.
    """
    ends = set()
    for secret in filter(None, secrets):
        scheme = _small(secret.partition("://")[0]) if "://" in secret else ""
        for form in map(_small, _forms(secret) | _further_forms(secret)):
            if len(form) > SHORT:
                ends.add((form, SHORT + (len(scheme) if form.startswith(scheme) else 0)))
    return ends


def without_parameters(text: str) -> str:
    """A path or an address with stars for the values of parameters with secret names."""

    def hidden(parameter: re.Match[str]) -> str:
        value = parameter[3]
        for secret in _secrets_of(parameter):
            value = value.replace(secret, HIDDEN)
        return f"{parameter[1]}{parameter[2]}={value}"

    return _PARAMETER.sub(hidden, text)


def _secrets_of(parameter: re.Match[str]) -> list[str]:
    return _held(parameter[3]) if SECRET_PARAMETER.search(unquote(parameter[2])) else []


def _held(value: str) -> list[str]:
    """The secret parts of a value: all of it, or, around its placeholders, everything that is not like a word."""
    if not _PLACE.search(value):
        return [value] if value else []
    return [part for part in _PLACE.split(value) if len(part) >= 2 * SHORT and any(map(str.isdigit, part))]


def parameters_of(text: str) -> list[str]:
    """The values of a template's parameters with secret names, both encoded and decoded."""
    values = [secret for match in _PARAMETER.finditer(text) for secret in _secrets_of(match)]
    forms = [form for value in values for form in dict.fromkeys((value, unquote(value), unquote_plus(value)))]
    return [each for each in forms if len(each) >= SHORT or not each.isdecimal()]


def secrets_in(value: Any, *, named: bool = False) -> list[str]:
    """The secrets in a map's request: parameters of a template and fields of a body with secret names."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return [
            secret
            for name, each in value.items()
            for secret in secrets_in(each, named=SECRET_PARAMETER.search(str(name)) is not None)
        ]
    if isinstance(value, list | tuple):
        return [secret for each in value for secret in secrets_in(each, named=named)]
    if not isinstance(value, str):
        return []
    return _held(value) if named else parameters_of(value)


def _small(text: str) -> str:
    """A text in small letters, each in its place."""
    return (
        text.lower() if text.isascii() else "".join(low if len(low := sign.lower()) == 1 else sign for sign in text)
    )


def _pieces(text: str, form: str) -> Iterator[tuple[int, int]]:
    """The places of a form's prefixes and suffixes in a text; both in lower case."""
    begins, ends = form[:PIECE], form[-PIECE:]
    at = text.find(begins)
    while at >= 0:
        length = PIECE
        while length < len(form) and text[at + length : at + length + 1] == form[length]:
            length += 1
        yield at, at + length
        at = text.find(begins, at + length)
    at = text.find(ends)
    while at >= 0:
        length = PIECE
        while length < len(form) and at + PIECE > length and text[at + PIECE - length - 1] == form[-length - 1]:
            length += 1
        begin = at + PIECE - length
        yield begin + text[begin].isspace(), at + PIECE
        at = text.find(ends, at + PIECE)


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """A text with stars in place of some parts, which may overlap."""
    clean, behind = "", 0
    for begin, end in sorted(spans):
        if begin >= behind:
            clean += text[behind:begin] + HIDDEN
        behind = max(behind, end)
    return clean + text[behind:]


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
    """The secret parts of a login: without a password the name may be one (a token)."""
    if not login.raw:
        return []
    if not login.password:
        return [] if login.scheme.startswith(NAMED) else [login.user]
    return [login.password, login.raw.partition(":")[2], _pair(login.user, login.password)]


def _pair(user: str, password: str) -> str:
    """A login in the form of HTTP and SASL."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _of_secret(value: str) -> list[str]:
    if "://" not in value or ";" in value:  # a connection string has its secrets after their names
        assigned = [match.strip() for match in _ASSIGNED.findall(value)]
        behind = value.partition(" ")[2].strip()  # a scheme, such as Bearer
        return [value, *assigned, *(part for part in (behind, *value.split()) if len(part) >= 2 * SHORT)]
    return [value]


def _forms(secret: str) -> set[str]:
    """The forms in which a secret may be written."""
    forms = {secret, " ".join(secret.split()), unquote(secret), unquote_plus(secret), html.escape(secret)}
    for each in tuple(forms):
        forms |= {quote(each, safe=""), quote(each), quote_plus(each), json.dumps(each)[1:-1], repr(each)[1:-1]}
        forms.add(repr(each.encode("utf-8", "surrogatepass"))[2:-1])
    if len(secret) >= SHORT:
        forms.add(base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode().rstrip("="))
    return {form for form in forms if form.strip()}


def _further_forms(secret: str) -> set[str]:
    """The forms of a secret in nested notations."""
    forms = {json.dumps(secret, ensure_ascii=False)[1:-1], secret.replace("/", r"\/")}
    forms |= {quote(quote(each, safe=""), safe="") for each in (secret, unquote(secret))}
    forms |= {
        _referred(secret, "&#{};"),
        _referred(secret, "&#x{:x};"),
        html.escape(secret).replace("&#x27;", "&apos;"),
    }
    if len(secret) >= SHORT:
        forms |= _encoded(secret.encode("utf-8", "surrogatepass"))
    for encoded in {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]} - {secret}:
        forms |= {
            quote(encoded, safe=""),
            json.dumps(encoded)[1:-1],
            html.escape(encoded),
            _referred(encoded, "&#{};"),
        }
        forms |= {_referred(encoded, "&#x{:x};"), quote(quote(encoded, safe=""), safe="")}
        forms |= _encoded(encoded.encode("utf-8", "surrogatepass"))
    return {form for form in forms if form.strip()}


def _referred(secret: str, form: str) -> str:
    """A secret with every character as a numeric reference."""
    return "".join(sign if sign.isascii() and sign.isalnum() else form.format(ord(sign)) for sign in secret)


def _encoded(secret: bytes) -> set[str]:
    """A secret in base64 and hexadecimal digits; also the part of its base64 that is fixed among other bytes."""
    forms = {base64.b64encode(secret).decode().rstrip("="), secret.hex()}
    for before in (0, 1, 2) if len(secret) >= 2 * SHORT else ():
        whole = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        certain = whole[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        forms.add(certain)
    return forms | {form.translate(_URL_SAFE) for form in forms}


_URL_SAFE = str.maketrans("+/", "-_")


def secret_parts(url: str) -> list[str]:
    """The secret parts of a webhook's path."""
    path = url.partition("://")[2].rpartition("@")[2].partition("?")[0].partition("/")[2]
    return [part for part in path.split("/") if len(part) >= SECRET_PART and not re.fullmatch("[a-z-]+", part)]
