"""The dashboard's entry point, theme and icon, in the wheel as in the repository."""

from __future__ import annotations

import base64
import gc
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.dashboard.access import Access

APP = Path(__file__).with_name("app.py")
"""The script that Streamlit serves; its configuration is in the folder `.streamlit` next to it."""

PAGES = Path(__file__).with_name("pages.py")
"""The script that runs for every view of a page."""


SIDEBAR_WIDTH = 260
"""In pixels; on a phone it is hidden at first."""


def settings() -> dict[str, Any]:
    """What the app is made with: the guard in front of it, and how people sign in.

    From the environment; exits with a sentence if a setting is wrong. It is called once, at process start, so it also
    hardens the log.
    """
    import streamlit
    from dotenv import load_dotenv

    from auditor.dashboard import log_lines, navigation, setup_code
    from auditor.dashboard.access import AccessError, access_of
    from auditor.dashboard.installations import open_early
    from auditor.dashboard.serving import cannot_sign_in

    log_lines.harden()
    load_dotenv(Path.cwd() / ".env")
    try:
        access = access_of(os.environ, port=int(streamlit.get_option("server.port")))
    except AccessError as error:
        sys.exit(f"error: {error}")
    if access.oidc is not None and (problem := cannot_sign_in()):
        sys.exit(f"error: {problem}")
    there_is_a_map = navigation.there_is_a_map()
    if not there_is_a_map:
        sys.stderr.write(f"{setup_code.announcement(access, navigation.map_location())}\n")
    navigation.load()
    # What is loaded by now stays, and Streamlit has the garbage collector look through everything after each draw.
    gc.freeze()
    if there_is_a_map:
        open_early(navigation.map_location(), os.environ.get("AUDITOR_DATA", "var"))
    return _made(access)


def _made(access: Access) -> dict[str, Any]:
    import streamlit
    from starlette.middleware import Middleware

    from auditor.dashboard import cookies, navigation, signed_out
    from auditor.dashboard.guard import SIGNED_OUT, Guard

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    base = str(streamlit.get_option("server.baseUrlPath") or "").strip("/")
    root = f"/{base}" if base else ""
    addresses = {root, f"{root}/index.html", *(f"{root}/{name}" for name in navigation.PAGES)}
    oidc = access.oidc
    secret = (oidc.cookie_secret if oidc else "") or secrets.token_hex(32)
    if oidc is not None and oidc.cookie_secret:  # another secret with each start ends every sign-in anyway
        folder = Path(os.environ.get("AUDITOR_DATA", "var")).resolve()
        SIGNED_OUT.keep(folder / signed_out.NAME, time.time())
    guard = Middleware(
        Guard,
        access=access,
        page=page,
        addresses=addresses,
        base=root,
        first=next(iter(navigation.PAGES)),
        proves=lambda headers: cookies.claims_of(headers, secret),
    )
    return {"middleware": [guard], "secrets": cookies.settings_of(oidc, secret) if oidc else {}}


def show() -> None:
    """Draw the requested page."""
    import streamlit as st
    from dotenv import load_dotenv

    from auditor.dashboard import navigation

    load_dotenv(Path.cwd() / ".env")
    # In the page itself: as a file, it would only be served to people who have signed in.
    icon = f"data:image/png;base64,{base64.b64encode(APP.with_name('plumbline.png').read_bytes()).decode()}"
    st.set_page_config(
        page_title="Plumbline",
        page_icon=icon,
        layout="wide",
        initial_sidebar_state=SIDEBAR_WIDTH,
    )
    st.logo(str(APP.with_name("plumbline.svg")), icon_image=icon, size="large")
    st.html(APP.with_name("look.css"))
    navigation.run()
