"""Amounts of money; for a few currencies, Stripe uses minor units of its own.

Everywhere else in this product, `minor_units` means the minor units of ISO 4217; what Stripe counts otherwise is
converted to those.

Source: docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies", "Special cases". UGX is
named under the first and the last; the last gives an example (500 for 5 UGX) and is followed. HUF and TWD are special
in payouts alone, which no collection here holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from probes.exact_json import Undecodable

ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
THREE_DECIMAL = "BHD JOD KWD OMR TND"
"""All others count hundredths, ISK and UGX included."""

FURTHER_DIGITS: Mapping[str, int] = {"MGA": 2, "ISK": -2, "UGX": -2}
"""How many digits more ISO 4217 gives the minor unit than Stripe."""

LONGEST = 60
"""Characters of an amount: `unit_amount_decimal` has 12 digits behind the point."""


def digits(currency: str) -> int:
    """Decimals of the minor unit in which Stripe counts a currency."""
    code = currency.upper()
    return 0 if code in ZERO_DECIMAL.split() else 3 if code in THREE_DECIMAL.split() else 2


def in_iso_units(amount: Any, currency: Any) -> Any:
    """An amount in the minor unit that ISO 4217 gives its currency; anything else unchanged."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal | str):
        return amount
    if isinstance(currency, Undecodable):
        return Undecodable("an amount of money whose currency cannot be read")
    further = FURTHER_DIGITS.get(currency.upper(), 0) if isinstance(currency, str) else 0
    if not further or len(str(amount)) > LONGEST:
        return amount
    try:
        return Decimal(str(amount)).scaleb(further)
    except ArithmeticError:
        return amount
