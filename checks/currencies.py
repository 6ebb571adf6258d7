"""How many decimals each currency's minor unit has.

Source: ISO 4217, table A.1 (list one), as the package iso4217 has it, for currencies in use; table A.3 (list three)
for withdrawn ones.
"""

from __future__ import annotations

from functools import cache

_WITHDRAWN = {
    0: "ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE TPE TRL",
    2: ("ANG ATS BGN CUC CYP DEM EEK FIM FRF HRK IEP LTL LVL MRO MTL NLG ROL SIT SKK SLL STD VEF ZMK ZWL"),
}
"""Currencies that old records may still carry, with the minor units they had. Those in use come first."""


def minor_digits(currency: str) -> int | None:
    """Decimals of a currency's minor unit; None if it has none or is unknown."""
    return _digits().get(currency)


@cache
def _digits() -> dict[str, int]:
    from iso4217 import Currency  # reads its table when it is imported, which only a map with money should cost

    withdrawn = {code: digits for digits, codes in _WITHDRAWN.items() for code in codes.split()}
    in_use = {each.code: each.exponent for each in Currency}
    return withdrawn | {code: digits for code, digits in in_use.items() if digits is not None}
