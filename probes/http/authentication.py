"""Signing in requests to an API: by one header with a fixed or renewed value.

The transport makes sure that the header goes only to its own API.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """The header that signs a request in."""

    name: str
    value: str = field(repr=False)


class Authentication(Protocol):
    """One way to sign in. Calls may come from several threads at once."""

    @property
    def secrets(self) -> Sequence[str]:
        """The secrets known from the start; tokens are added when they arrive."""

    @property
    def token(self) -> str:
        """The current, replaceable token; empty if there is none."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks for people, as far as known by now."""

    def credentials(self) -> Credentials | None:
        """The current credentials, None if none are needed; may call a token endpoint within the call's deadline.

        Raises:
            ProbeError: they could not be obtained.
        """

    def renewed(self, refused: Credentials) -> Credentials | None:
        """New credentials after the API refused these with 401; None if there are none, or renewing is pointless.

        Raises:
            ProbeError: they could not be renewed.
        """

    def in_vain(self) -> None:
        """Note that the API refused renewed credentials: they are not renewed again for a while."""

    def close(self) -> None:
        """End running requests."""


class Fixed:
    """Signs in with fixed credentials from the map, or not at all."""

    def __init__(self, credentials: Credentials | None, secrets: Sequence[str] = ()) -> None:
        self._credentials = credentials
        self._secrets = [*secrets, *([] if credentials is None else [credentials.value])]

    @property
    def secrets(self) -> Sequence[str]:
        return self._secrets

    @property
    def token(self) -> str:
        return ""

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    def credentials(self) -> Credentials | None:
        return self._credentials

    def renewed(self, refused: Credentials) -> Credentials | None:
        return None

    def in_vain(self) -> None:
        """Does nothing: there is nothing to renew."""

    def close(self) -> None:
        """Does nothing: no request can be running."""


def nobody() -> Fixed:
    """No sign-in, or only by headers that the map names itself."""
    return Fixed(None)


def bearer(token: str) -> Fixed:
    """A fixed token. Source: RFC 6750, section 2.1."""
    return Fixed(bearing(token), [token])


def bearing(token: str) -> Credentials:
    """The header that carries a token."""
    return Credentials("Authorization", f"Bearer {token}")


def basic(user: str, password: str) -> Fixed:
    """A name and a password, one of them may be empty; without a password the name is the key.

    Source: RFC 7617, section 2.
    """
    sent = pair(user, password)
    return Fixed(sent, [password or user, sent.value.partition(" ")[2]])


def pair(user: str, password: str) -> Credentials:
    """The header that carries a name and a password."""
    return Credentials("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")


def header(name: str, value: str) -> Fixed:
    """A key in an API-specific header."""
    return Fixed(Credentials(name, value), [value])
