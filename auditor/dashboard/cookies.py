"""The sign-in that Streamlit keeps in the browser's cookies after `st.login`."""

from __future__ import annotations

import json
from typing import Any

from auditor.dashboard.access import Headers
from auditor.dashboard.oidc import Claims, Oidc


def claims_of(headers: Headers, secret: str) -> Claims | None:
    """The claims of the sign-in that a request proves; None if it proves none.

    Args:
        secret: signs the cookies.
    """
    from starlette.requests import cookie_parser
    from streamlit.auth_util import get_cookie_with_chunks
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    sent = "; ".join(value.decode("latin-1") for name, value in headers if name == b"cookie")
    cookies = cookie_parser(sent)

    def signed(name: str) -> bytes | None:
        return decode_signed_value(secret, name, cookies.get(name, "").encode("latin-1"))

    document = get_cookie_with_chunks(signed, USER_COOKIE_NAME)
    if document is None:
        return None
    try:
        claims = json.loads(document)
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def settings_of(oidc: Oidc, secret: str) -> dict[str, Any]:
    """What Streamlit reads as its `secrets` to sign people in."""
    return {
        "auth": {
            "redirect_uri": oidc.redirect_uri,
            "cookie_secret": secret,
            "client_id": oidc.client_id,
            "client_secret": oidc.client_secret,
            "server_metadata_url": oidc.metadata_url,
            "client_kwargs": {"scope": oidc.scope},
        }
    }
