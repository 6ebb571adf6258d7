"""Exact decimals with a ceiling: arithmetic that never rounds, and numbers that are refused before they grow."""

from __future__ import annotations

from decimal import MAX_EMAX as _MAX_EMAX
from decimal import MIN_EMIN as _MIN_EMIN
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from probes.exact_json import MAX_DIGITS

ZERO = Decimal(0)

MAX_BITS = 13_288
"""Of a whole number with `MAX_DIGITS` digits; Python itself refuses to write more than 4,300 digits as text."""

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]

EXACT = Context(prec=3 * MAX_DIGITS + 100, Emax=_MAX_EMAX, Emin=_MIN_EMIN, traps=_TRAPS)
"""Wide enough for the sum, difference and product with a short factor of any two numbers below the ceiling."""

_CEILING = Context(prec=MAX_DIGITS, Emax=_MAX_EMAX, Emin=_MIN_EMIN, traps=_TRAPS)
_normalize = _CEILING.normalize
_DIVIDING = Context(prec=MAX_DIGITS, Emax=_MAX_EMAX, Emin=_MIN_EMIN, traps=[*_TRAPS, Inexact])


def trimmed(number: Decimal) -> Decimal | None:
    """A finite number without trailing zeros and without the sign of zero; None beyond the ceiling."""
    if not number:
        return ZERO
    if not -MAX_DIGITS <= number.adjusted() <= MAX_DIGITS:
        return None
    short = _normalize(number)
    return short if short == number else None


def rounded(number: Decimal, scale: int) -> Decimal:
    """A finite number of any length, rounded half to even to `scale` decimals."""
    return EXACT.quantize(number, Decimal(1).scaleb(-scale))


def shifted(number: Decimal, digits: int) -> Decimal:
    """A finite number times ten to the power of `digits`, exactly."""
    return EXACT.scaleb(number, digits)


def divided(number: Decimal, by: Decimal) -> Decimal | None:
    """The exact quotient; None if its decimals do not end."""
    try:
        return _DIVIDING.normalize(_DIVIDING.divide(number, by))
    except (Inexact, InvalidOperation):
        return None
