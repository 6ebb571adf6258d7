"""What stops a set-up: a sentence for the person, without secrets."""

from __future__ import annotations


class SetupError(Exception):
    """A step cannot be done; the text says why and what to do, and quotes no secret."""


class SameSystemError(SetupError):
    """The system with the copies is the source of truth itself."""
