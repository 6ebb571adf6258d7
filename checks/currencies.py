"""How many decimals each currency's minor unit has. Source: ISO 4217, tables A.1 and A.3 (lists one and three)."""

from __future__ import annotations

_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
        "CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
        "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
        "MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD "
        "SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD "
        "XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Currencies in use."""

_WITHDRAWN = {
    0: "ADP BEF BYB BYR ESP GRD ITL LUF MGF PTE TPE TRL",
    2: "ANG ATS CUC CYP DEM EEK FIM FRF HRK IEP LTL LVL MRO MTL NLG ROL SIT SKK SLL STD VEF ZMK ZWL",
}
"""Currencies that old records may still carry, with the minor units they had."""

DIGITS = {
    code: digits for table in (_WITHDRAWN, _DIGITS) for digits, codes in table.items() for code in codes.split()
}


def minor_digits(currency: str) -> int | None:
    """Decimals of a currency's minor unit; None if it has none or is unknown."""
    return DIGITS.get(currency)
