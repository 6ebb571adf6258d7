"""Secrets, and the forms in which a driver, a server or a proxy writes one back. None of them reaches any text."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus

SECRETS: Mapping[str, str] = {
    "reserved": "Zw0lf@Boxk4mpfer/jagen:V1ktor",
    "unicode": "Größ3nwahn-ist-Üb3rall",
    "blanks": "drei kl31ne Worte",
    "token": "eyJhbGciOi.J9eXAi_OiJK-V1Qi",
    "signs": "a<b>&'\"c\\d%41+e",
    "characters beyond": "Schl\U0001f511ssel-42x",
}
SHORT = ("ab3", "x9", "ü7")

FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "capitals": str.upper,
    "small": str.lower,
    "percent": lambda s: quote(s, safe=""),
    "percent in small letters": lambda s: re.sub("%..", lambda found: found[0].lower(), quote(s, safe="")),
    "percent in a path": quote,
    "plus": quote_plus,
    "percent twice": lambda s: quote(quote(s, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON in Unicode": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON with slashes": lambda s: s.replace("/", "\\/"),
    "repr": repr,
    "repr of bytes": lambda s: repr(s.encode()),
    "HTML": html.escape,
    "HTML in decimal": lambda s: "".join(x if x.isascii() and x.isalnum() else f"&#{ord(x)};" for x in s),
    "HTML in hexadecimal": lambda s: "".join(x if x.isascii() and x.isalnum() else f"&#x{ord(x):x};" for x in s),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 in URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "Basic": lambda s: "Basic " + base64.b64encode(f"someone:{s}".encode()).decode(),
    "Basic the other way round": lambda s: base64.b64encode(f"{s}:someone".encode()).decode(),
    "SASL": lambda s: base64.b64encode(f"\0someone\0{s}".encode()).decode(),
    "Bearer in base64": lambda s: base64.b64encode(f"Bearer {s}".encode()).decode(),
    "hexadecimal": lambda s: s.encode().hex(),
    "hexadecimal in capitals": lambda s: s.encode().hex().upper(),
    "login": lambda s: f"postgresql://someone:{quote(s, safe='')}@host/db",
    "login as it is": lambda s: f"amqp://someone:{s}@host",
    "other way round": lambda s: f"{s}:someone",
    "libpq": lambda s: "password='" + s.replace("\\", "\\\\").replace("'", "\\'") + "' user=someone",
    "ODBC": lambda s: f"Server=x;Uid=someone;Pwd={s};",
    "header": lambda s: f"AUTHORIZATION: BEARER {s}",
    "cut": lambda s: s[:11] + "...",
    "cut at its beginning": lambda s: "..." + s[-11:],
    "cut at the end": lambda s: s[:5],
}
