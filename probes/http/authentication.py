"""How a request to an API is signed in: by one header, whose value stays the same or is renewed.

The header goes to the API that it is for and nowhere else; the transport sees to that.
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
        """What it sends that is known from the beginning; tokens are made known when they come."""

    @property
    def token(self) -> str:
        """The token that is sent now and that another will replace; empty where there is none."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of it, as far as that has shown by now."""

    def credentials(self) -> Credentials | None:
        """What to send now, None where nobody has to sign in; may ask a token endpoint within the call's deadline.

        Raises:
            ProbeError: there is none to be had.
        """

    def renewed(self, refused: Credentials) -> Credentials | None:
        """Others than those that the API has refused with 401; None where there are none, or where renewing is vain.

        Raises:
            ProbeError: they could not be renewed.
        """

    def in_vain(self) -> None:
        """Take note that the API refused what was just renewed: it is not renewed again for a while."""

    def close(self) -> None:
        """End what is under way."""


class Fixed:
    """Signs in with what the map says, or not at all."""

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
        """There is nothing to renew."""

    def close(self) -> None:
        """Nothing is under way."""


def nobody() -> Fixed:
    """Not signed in, or by headers that the map names itself."""
    return Fixed(None)


def bearer(token: str) -> Fixed:
    """A token that stays the same. Source: RFC 6750, section 2.1."""
    return Fixed(bearing(token), [token])


def bearing(token: str) -> Credentials:
    """The header that carries a token."""
    return Credentials("Authorization", f"Bearer {token}")


def basic(user: str, password: str) -> Fixed:
    """A name and a password, of which either may be empty; without a password the name is the key.

    Source: RFC 7617, section 2.
    """
    sent = pair(user, password)
    return Fixed(sent, [password or user, sent.value.partition(" ")[2]])


def pair(user: str, password: str) -> Credentials:
    """The header that carries a name and a password."""
    return Credentials("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")


def header(name: str, value: str) -> Fixed:
    """A key in a header of the API's own."""
    return Fixed(Credentials(name, value), [value])
