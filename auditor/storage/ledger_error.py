"""The errors of a ledger; loads no driver."""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be used; the text says why and what to do.

    Attributes:
        noted: whether the watch has already recorded this failure.
    """

    noted = False


class LedgerSettingError(LedgerError):
    """The setting that names the ledger is impossible."""
