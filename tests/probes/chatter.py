"""What a driver may say of a login: the password in every form."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

PASSWORD = "Zw0lf@Boxk4mpfer/jagen:V1ktor?quer#ueber%den Sylter"


class ChattyError(Exception):
    """What a driver may say: the password in every form."""

    def __init__(self, *_: object, **__: object) -> None:
        said = [PASSWORD, quote(PASSWORD, safe=""), json.dumps(PASSWORD), repr(PASSWORD.encode())]
        said += [base64.b64encode(f"someone:{PASSWORD}".encode()).decode(), PASSWORD.partition("@")[2].lower()]
        said += [f"cannot resolve {PASSWORD.rpartition('@')[2]}@host", f"http://someone:{quote(PASSWORD)}@h"]
        super().__init__(2003, "; ".join(said) + "; " + PASSWORD[:9])


def chatter(*_: object, **__: object) -> Any:
    """Fail like that."""
    raise ChattyError
