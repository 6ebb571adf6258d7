"""The error of a ledger, where no driver is loaded."""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be used; the text says why and what to do.

    Attributes:
        noted: whoever follows its failures knows of this one.
    """

    noted = False


class LedgerSettingError(LedgerError):
    """What names the ledger cannot be meant."""
