"""Numbers that stand for far more than they hold, that are none, or that are on the edge of what types can hold.

Each may stand where a number of a record is expected (as JSON says it, or as text), in keys, in pages and in ranks.
What must hold: it is compared exactly or called unreadable, at once and without memory for what it would come to; it
is never rounded, and nothing else of its flow waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping

NUMBERS: Mapping[str, str] = {
    "ten million digits to come": "1e10000000",
    "the same below zero": "-1e10000000",
    "the same behind the point": "1e-10000000",
    "with digits before and behind": "123456.789e9999999",
    "an exponent of 20 digits": "1e99999999999999999999",
    "an exponent of 5,000 digits": "1e" + "9" * 5_000,
    "an exponent of zeros": "1e" + "0" * 5_000 + "1",
    "a zero with a great exponent": "0e10000000",
    "4,300 digits": "9" * 4_300,
    "4,301 digits": "9" * 4_301,
    "5,000 digits": "9" * 5_000,
    "100,000 digits": "9" * 100_000,
    "5,000 digits behind the point": "0." + "3" * 5_000,
    "a one behind 5,000 zeros": "0." + "0" * 5_000 + "1",
    "a power of two with 1,000 digits": str(2**3321),
    "1e308": "1e308",
    "1e309": "1e309",
    "1e-400": "1e-400",
    "minus zero": "-0",
    "minus zero behind the point": "-0.0",
    "2^53 + 1": str(2**53 + 1),
    "2^63 - 1": str(2**63 - 1),
    "2^63": str(2**63),
    "-2^63 - 1": str(-(2**63) - 1),
    "2^64": str(2**64),
    "10^38": str(10**38),
    "capital exponent": "1E400",
    "plus in the exponent": "1e+400",
    "400 nines behind the point": "0." + "9" * 400,
}
"""By name, as JSON spells them."""

SPELT: Mapping[str, str] = {
    "plus": "+1",
    "leading zeros": "007",
    "hexadecimal": "0x7fffffff",
    "octal": "0o17",
    "underscores": "1_000_000",
    "commas": "1,000,000",
    "NaN": "NaN",
    "signalling NaN": "sNaN123",
    "infinity": "Infinity",
    "inf": "-inf",
    "Arabic digits": "\u0661\u0662\u0663",
    "full-width digits": "\uff11\uff12",
    "superscript": "x\u00b2",
    "Roman": "\u2167",
    "blanks around it": "  12  ",
    "no-break space": "1\u00a0000",
    "a point alone": ".",
    "two points": "1.2.3",
    "an exponent alone": "e5",
    "a minus alone": "-",
    "a minus of typography": "\u22125",
    "empty": "",
    "a newline behind it": "5\n",
    "NUL behind it": "5\0",
    "a fraction": "1/3",
    "a sum": "1+1",
    "money": "\u20ac 5",
}
"""Texts where a number is expected."""
