"""The code that shows that who sets up in the browser also started the dashboard.

Every user of a machine reaches 127.0.0.1, and a map is trusted like code: it names what the auditor connects to, and
which functions it loads. So the page asks for a code that only the terminal or the log of the dashboard shows.
"""

from __future__ import annotations

import secrets

from auditor.dashboard.access import Access
from auditor.escaping import visible

_SIGNS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Letters and digits that are not mistaken for others."""

CODE = "-".join("".join(secrets.choice(_SIGNS) for _ in range(4)) for _ in range(3))
"""Of this process; 59 bits."""


def fits(entered: str) -> bool:
    """Whether this is the code, however it is spaced."""
    kept = "".join(each for each in entered.upper() if each.isalnum())
    return secrets.compare_digest(kept.encode(), CODE.replace("-", "").encode())


def announcement(access: Access, location: str) -> str:
    """What the dashboard says when it starts without a map; the code only if somebody may set up in the browser."""
    missing = f"there is no map at {visible(location)} yet"
    if access.signs_in or access.read_only:
        return f"{missing}: write one with `auditor init`"
    return f"{missing}: write one with `auditor init`, or in the browser, on the page Set up, with the code {CODE}"
