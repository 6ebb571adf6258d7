"""Signing in with an issuer: settings, claims, and the whole way with a real browser.

The issuer is a stand-in, oidc-provider-mock, which implements the authorization code flow of OpenID Connect Core,
Discovery and RP-Initiated Logout over Authlib. It signs in anyone under any name.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import oidc_provider_mock
import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from auditor.dashboard.access import (
    ENDED,
    HEALTH,
    Access,
    AccessError,
    Onlooker,
    Person,
    Stranger,
    access_of,
    elsewhere,
    who,
)
from auditor.dashboard.cookies import claims_of
from auditor.dashboard.guard import Guard
from auditor.dashboard.navigation import PAGES
from auditor.dashboard.oidc import DISCOVERY
from tests import HOME, engines
from tests.auditor.cli.process import auditor
from tests.auditor.dashboard.test_access import STREAM, disputed, environment, get, shake
from tests.auditor.dashboard.test_accessible import BESIDE, broken_rules
from tests.auditor.screens import chromium
from tests.servers import free_port, wait_for_port
from tests.stand import Stand
from tests.waiting import wait_until

__all__ = ["disputed"]

CLIENT_SECRET = "the-secret-that-the-issuer-gave-out"
COOKIE_SECRET = "0123456789abcdef0123456789abcdef"
ISSUER = "https://id.example.com"
SET = {
    "AUDITOR_HOSTS": "plumbline.example.com",
    "AUDITOR_OIDC_METADATA_URL": f"{ISSUER}/.well-known/openid-configuration",
    "AUDITOR_OIDC_CLIENT_ID": "plumbline",
    "AUDITOR_OIDC_CLIENT_SECRET": CLIENT_SECRET,
}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "plumbline",
    "sub": "1",
    "iat": 1_000_000,
    "email": "ada@example.com",
    "groups": ["staff"],
    "origin": "https://plumbline.example.com",
}


def asks(claims: dict[str, Any] | None, *, now: float = 1_000_001, **lists: str) -> Person | Onlooker | Stranger:
    access = access_of({**SET, **{f"AUDITOR_{name}": text for name, text in lists.items()}})
    return who(access, headers=[], peer="192.0.2.1", claims=claims, now=now)


def test_who_signed_in_may_look_and_who_is_named_may_act() -> None:
    assert isinstance(asks(CLAIMS), Onlooker)
    person = asks(CLAIMS, OPERATORS="ADA@example.com")
    assert isinstance(person, Person)
    assert (person.name, person.known_by) == ("ada@example.com", f"signed in, by OIDC issuer {ISSUER}")
    assert person.until == 1_000_000 + 12 * 3600
    assert isinstance(asks(CLAIMS, OPERATORS="group:staff"), Person)
    assert isinstance(asks(CLAIMS, OPERATORS="bob@example.com", VIEWERS="group:staff"), Onlooker)
    turned_away = asks(CLAIMS, VIEWERS="bob@example.com")
    assert isinstance(turned_away, Stranger)
    assert (turned_away.name, turned_away.can_sign_in) == ("ada@example.com", True)


@pytest.mark.parametrize(
    "claims",
    [
        None,
        {},
        {**CLAIMS, "aud": "another"},
        {**CLAIMS, "aud": None},
        {**CLAIMS, "aud": ["another"]},
        {**CLAIMS, "origin": "https://other.example.com"},
        {**CLAIMS, "origin": None},
        {**CLAIMS, "iat": None},
        {**CLAIMS, "iat": "1000000"},
        {**CLAIMS, "iat": True},
        {**CLAIMS, "iss": None},
        {**CLAIMS, "email": None},
        {**CLAIMS, "email": " "},
        {**CLAIMS, "email": ["ada@example.com"]},
        {**CLAIMS, "email_verified": False},
        {**CLAIMS, "email_verified": "false"},
        {**CLAIMS, "email_verified": None},
        {**CLAIMS, "email": "ada@example.com\u202e"},
        {**CLAIMS, "email": "a" * 257},
    ],
)
def test_claims_that_name_nobody_show_nothing(claims: dict[str, Any] | None) -> None:
    found = asks(claims, OPERATORS="ada@example.com,group:staff")
    assert isinstance(found, Stranger)
    assert found.can_sign_in


def test_a_sign_in_ends() -> None:
    last = 1_000_000 + 12 * 3600
    assert isinstance(asks(CLAIMS, now=last - 1), Onlooker)
    assert asks(CLAIMS, now=last) == Stranger(why=ENDED, can_sign_in=True)
    assert asks(CLAIMS, now=1_000_060, OIDC_SESSION="1m") == Stranger(why=ENDED, can_sign_in=True)


def test_the_claims_that_name_people_can_be_chosen() -> None:
    claims = {**CLAIMS, "upn": "ada", "roles": "ops", "email": None}

    def chosen(claims: dict[str, Any]) -> Person | Onlooker | Stranger:
        return asks(claims, OIDC_NAME_CLAIM="upn", OIDC_GROUPS_CLAIM="roles", OPERATORS="group:ops")

    found = chosen(claims)
    assert isinstance(found, Person)
    assert found.name == "ada"
    assert isinstance(chosen({**claims, "groups": ["ops"], "roles": None}), Onlooker)


@pytest.mark.parametrize(
    ("given", "redirect"),
    [
        ({}, "https://plumbline.example.com/oauth2callback"),
        ({"AUDITOR_HOSTS": ""}, "http://localhost:8501/oauth2callback"),
        ({"AUDITOR_HOSTS": "2001:db8::1"}, "https://[2001:db8::1]/oauth2callback"),
        (
            {
                "AUDITOR_HOSTS": "a.example.com,b.example.com",
                "AUDITOR_OIDC_REDIRECT_URI": "https://b.example.com:8443/plumbline/oauth2callback",
            },
            "https://b.example.com:8443/plumbline/oauth2callback",
        ),
    ],
)
def test_the_redirect_address_follows_from_the_host(given: dict[str, str], redirect: str) -> None:
    oidc = access_of({**SET, **given}, port=8501).oidc
    assert oidc is not None
    assert oidc.redirect_uri == redirect
    assert redirect.startswith(oidc.origin + "/")
    assert CLIENT_SECRET not in repr(oidc)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"AUDITOR_OIDC_METADATA_URL": ""}, "--oidc-metadata"),
        ({"AUDITOR_OIDC_CLIENT_ID": ""}, "--oidc-client"),
        ({"AUDITOR_OIDC_CLIENT_SECRET": ""}, "AUDITOR_OIDC_CLIENT_SECRET"),
        ({"AUDITOR_OIDC_METADATA_URL": ISSUER}, "must end with"),
        ({"AUDITOR_OIDC_CLIENT": "plumbline"}, "AUDITOR_OIDC_CLIENT: there is no such setting; did you mean"),
        ({"AUDITOR_OIDC_METADATA_URL": "http://id.example.com/.well-known/openid-configuration"}, "must be an https"),
        ({"AUDITOR_OIDC_METADATA_URL": "https://a:b@id.example.com/.well-known/openid-configuration"}, "user name"),
        ({"AUDITOR_OIDC_METADATA_URL": "https://[/.well-known/openid-configuration"}, "must be an https"),
        ({"AUDITOR_OIDC_REDIRECT_URI": "https://plumbline.example.com/"}, "ends with /oauth2callback"),
        ({"AUDITOR_OIDC_REDIRECT_URI": "http://plumbline.example.com/oauth2callback"}, "must be an https"),
        ({"AUDITOR_OIDC_REDIRECT_URI": "https://other.example.com/oauth2callback"}, "does not answer to"),
        ({"AUDITOR_HOSTS": "a.example.com,b.example.com"}, "with several hosts"),
        ({"AUDITOR_COOKIE_SECRET": "short-secret"}, "shorter than 32"),
        ({"AUDITOR_OIDC_SCOPE": "email"}, "must contain openid"),
        ({"AUDITOR_OIDC_SESSION": "soon"}, "not a duration"),
        ({"AUDITOR_OIDC_SESSION": "90d"}, "from 1m to 30d"),
        (
            {"AUDITOR_USER_HEADER": "X-User", "AUDITOR_PROXIES": "10.0.0.1", "FORWARDED_ALLOW_IPS": ""},
            "not by both",
        ),
        (
            {"AUDITOR_OIDC_METADATA_URL": "https://accounts.google.com/.well-known/openid-configuration"},
            "anyone can have an account",
        ),
    ],
)
def test_a_setting_that_is_missing_or_impossible_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(AccessError, match=re.escape(said)) as caught:
        access_of({**SET, **given})
    assert CLIENT_SECRET not in str(caught.value)
    assert "short-secret" not in str(caught.value)


def test_the_command_says_what_is_missing_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plumbline.yaml").write_text("")
    places = ("--map", str(tmp_path / "plumbline.yaml"), "--host", "plumbline.example.com")
    url = f"{ISSUER}/.well-known/openid-configuration"
    done = auditor("dashboard", *places, "--oidc-metadata", url, "--oidc-client", "x")
    assert done.returncode == 2
    assert "AUDITOR_OIDC_CLIENT_SECRET" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['authlib'] = None\n")
    done = auditor(
        "dashboard",
        *places,
        *("--oidc-metadata", url, "--oidc-client", "x"),
        AUDITOR_OIDC_CLIENT_SECRET=CLIENT_SECRET,
        PYTHONPATH=f"{tmp_path}:{HOME}",
    )
    assert done.returncode == 2
    assert "pip install 'plumbline-auditor[login]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert CLIENT_SECRET not in done.stderr


def cookie(claims: object, *, secret: str = COOKIE_SECRET, name: str = "_streamlit_user") -> tuple[bytes, bytes]:
    text = claims if isinstance(claims, str) else json.dumps(claims)
    return b"cookie", f"{name}={create_signed_value(secret, name, text).decode()}".encode()


def test_a_cookie_counts_only_if_this_dashboard_signed_it() -> None:
    assert claims_of([cookie(CLAIMS)], COOKIE_SECRET) == CLAIMS
    name, value = cookie(CLAIMS)
    for headers in (
        [],
        [cookie(CLAIMS, secret="f" * 32)],
        [cookie(CLAIMS, name="_streamlit_user_tokens")],
        [(name, value.replace(b"_streamlit_user", b"other"))],
        [(name, value[:-1])],
        [(name, b"_streamlit_user=" + json.dumps(CLAIMS).encode())],
        [(name, b"_streamlit_user=\xff\xfe")],
        [cookie("no JSON")],
        [cookie('"text"')],
        [cookie("chunks-2")],
    ):
        assert claims_of(headers, COOKIE_SECRET) is None


def through(
    access: Access,
    path: str,
    *headers: tuple[bytes, bytes],
    base: str = "",
    query: bytes = b"code=x",
    sets: bytes = b"a=b; Path=/",
) -> list[dict[str, Any]]:
    """What the guard sends for a request, with an app behind it that sets a cookie."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", sets)]})

    async def nothing() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(
        app,
        access=access,
        page="",
        addresses={base, f"{base}/overview"},
        base=base,
        proves=lambda given: claims_of(given, COOKIE_SECRET),
        clock=lambda: 1_000_001,
    )
    host = (b"host", b"plumbline.example.com")
    scope = {"type": "http", "path": path, "query_string": query, "headers": [host, *headers], "client": None}
    asyncio.run(guard(scope, nothing, send))
    return sent


def test_cookies_are_kept_to_tls_where_people_use_tls() -> None:
    (answer,) = through(access_of(SET), "/overview")
    assert (b"set-cookie", b"a=b; Path=/; Secure") in answer["headers"]
    plain = access_of({**SET, "AUDITOR_OIDC_REDIRECT_URI": "http://localhost:8501/oauth2callback"})
    (answer,) = through(plain, "/overview")
    assert (b"set-cookie", b"a=b; Path=/") in answer["headers"]


@pytest.mark.parametrize("base", ["", "/plumbline"])
def test_only_what_it_takes_to_sign_in_is_open_to_strangers(base: str) -> None:
    access, signed_in = access_of(SET), cookie(CLAIMS)
    opened = ("/", "/overview", "/overview/", "/static/js/a.js", "/auth/login", "/auth/logout", HEALTH, STREAM)
    closed = (
        "/media/x.csv",
        "/static",
        "/_stcore/metrics",
        "/_stcore/upload_file/a/b",
        "/component/x",
        "/app/static/x",
    )
    for path in opened:
        assert through(access, base + path, base=base)[0]["status"] == 200, path
    for path in closed:
        assert through(access, base + path, base=base)[0]["status"] == 401, path
        assert through(access, base + path, signed_in, base=base)[0]["status"] == 200, path
        out = access_of({**SET, "AUDITOR_VIEWERS": "bob@example.com"})
        assert through(out, base + path, signed_in, base=base)[0]["status"] == 403, path


@pytest.mark.parametrize("base", ["", "/plumbline"])
@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("/overview?id=1&key=a%20b", "/overview?id=1&key=a%20b"),
        ("/", "/"),
        ("//evil.example/overview", ""),
        ("https://evil.example/overview", ""),
        ("/media/x.csv", ""),
        ("/overview\r\nset-cookie: x", ""),
        ("", ""),
    ],
)
def test_a_sign_in_leads_to_the_page_that_was_asked_for(base: str, asked: str, leads: str) -> None:
    below = asked.startswith("/") and not asked.startswith("//")
    place = (b"cookie", b"plumbline_place=" + quote(base + asked if below else asked, safe="").encode())
    (answer,) = through(access_of(SET), f"{base}/oauth2callback", place, base=base, sets=b"_streamlit_user=x; Path=/")
    found = [value.decode() for name, value in answer["headers"] if name == b"location"]
    assert found == ([base + leads] if leads else [])


def test_the_page_that_a_stranger_asks_for_is_kept() -> None:
    (answer,) = through(access_of(SET), "/overview", query=b"id=1")
    kept = next(value for name, value in answer["headers"] if value.startswith(b"plumbline_place="))
    assert kept == b"plumbline_place=%2Foverview%3Fid%3D1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
    for answers in (
        through(access_of(SET), "/overview", query=b"sign-in=failed"),
        through(access_of(SET), "/overview", cookie(CLAIMS)),
        through(access_of(SET), "/static/a.js"),
    ):
        assert not [value for _, value in answers[0]["headers"] if value.startswith(b"plumbline_place=")]


def test_signing_out_ends_every_copy_of_the_cookie() -> None:
    access, signed_in = access_of(SET), cookie({**CLAIMS, "nonce": "1"})
    assert through(access, "/media/x.csv", signed_in)[0]["status"] == 200
    through(access, "/auth/logout", signed_in)
    assert through(access, "/media/x.csv", signed_in)[0]["status"] == 401
    assert through(access, "/media/x.csv", cookie({**CLAIMS, "nonce": "2"}))[0]["status"] == 200


def test_a_sign_in_begins_where_it_ends() -> None:
    local = access_of({**SET, "AUDITOR_HOSTS": ""}, port=8501)
    for host, leads in (
        (b"127.0.0.1:8501", "http://localhost:8501/auth/login?provider=x"),
        (b"[::1]:8501", "http://localhost:8501/auth/login?provider=x"),
        (b"localhost:8501", None),
    ):
        assert elsewhere(local, headers=[(b"host", host)], target="/auth/login?provider=x") == leads
    for host in (b"plumbline.example.com", b"127.0.0.1:8501"):  # a proxy that names itself the host
        assert elsewhere(access_of(SET), headers=[(b"host", host)], target="/auth/login?provider=x") is None


@contextmanager
def signing_in(
    stand: Stand, *options: str, discovery: str = DISCOVERY, **more: str
) -> Iterator[tuple[int, str, Path]]:
    """A dashboard with an issuer beside it: its port, the issuer, and the file with everything that it printed."""
    port = free_port()
    log = stand.place / "dashboard.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    with oidc_provider_mock.run_server_in_thread() as issuer, log.open("wb") as printed:
        address = f"http://localhost:{issuer.server_port}"
        command = [sys.executable, "-m", "auditor", "dashboard", "--port", str(port), *options]
        words = ["--oidc-metadata", f"{address}{discovery}", "--oidc-client", "plumbline"]
        places = ["--map", str(stand.map_file), "--data", str(stand.place / "var")]
        secrets = {"AUDITOR_OIDC_CLIENT_SECRET": CLIENT_SECRET, "AUDITOR_COOKIE_SECRET": COOKIE_SECRET}
        told = {**clean, **environment(stand), **secrets, **more, "PYTHONPATH": str(HOME)}
        process = subprocess.Popen(
            [*command, *words, *places], cwd=stand.place, env=told, stdout=printed, stderr=subprocess.STDOUT
        )
        try:
            wait_for_port(port, process, 120)
            assert CLIENT_SECRET not in Path(f"/proc/{process.pid}/cmdline").read_text()
            yield port, address, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def sign_in(page: Page, port: int, name: str, path: str = "/", host: str = "localhost") -> None:
    """The whole way of one person: the button, the issuer's form, and back."""
    page.goto(f"http://{host}:{port}{path}")
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=sub]").fill(name)
    page.get_by_role("button", name=re.compile("authorize", re.IGNORECASE)).first.click()
    page.wait_for_url(f"http://localhost:{port}/**")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def sign_out(page: Page) -> None:
    """The way out, at the issuer too, which leads back to the button."""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def cookies_of(page: Page) -> str:
    return "; ".join(f"{each['name']}={each['value']}" for each in page.context.cookies())


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_people_sign_in_act_under_their_name_and_sign_out(disputed: Stand) -> None:
    with signing_in(disputed, "--operator", "ada@example.com") as (port, issuer, log), chromium() as browser:
        nothing_is_shown_to_strangers(browser, port)
        page = browser.new_context().new_page()
        sign_in(page, port, "ada@example.com", path="/conflicts?conflict=1")
        expect(page.get_by_text("ada@example.com (operator)")).to_be_visible()
        page.get_by_role("heading", name="As it is now").wait_for(timeout=90_000)
        expect(page.get_by_label("Your name")).to_have_count(0)
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("heading", name=re.compile("decided"))).to_be_visible(timeout=60_000)

        viewer = browser.new_context().new_page()
        sign_in(viewer, port, "bob@example.com", host="127.0.0.1")  # the issuer sends people back to localhost
        expect(viewer.get_by_text("bob@example.com (viewer)")).to_be_visible()
        viewer.goto(f"http://localhost:{port}/conflicts?conflict=1")
        expect(viewer.get_by_text("You can look, but not decide.")).to_be_visible()
        expect(viewer.get_by_role("button", name="Decide")).to_have_count(0)

        kept = f"Cookie: {cookies_of(page)}"
        assert get(port, "/media/none.csv", "Host: localhost:PORT", kept)[0] == 404
        other_tab = page.context.new_page()
        other_tab.goto(f"http://localhost:{port}/query?refresh=off")  # it would end by itself
        run = other_tab.get_by_role("button", name="Run")
        expect(run).to_be_visible()
        sign_out(page)
        assert get(port, "/media/none.csv", "Host: localhost:PORT", kept)[0] == 401
        run.click()
        expect(other_tab.get_by_text(ENDED)).to_be_visible()
        expect(other_tab.get_by_role("heading", name="Query")).to_have_count(0)
    found = disputed.ledger.conflicts.find(1)
    assert found is not None
    signed = (found[1][-1].who, found[1][-1].known_by)
    assert signed == ("ada@example.com", f"signed in, by OIDC issuer {issuer}")
    printed = log.read_text()
    assert CLIENT_SECRET not in printed
    assert COOKIE_SECRET not in printed
    assert "Traceback" not in printed


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_sign_in_that_fails_says_so_and_the_log_says_why_in_one_line(stand: Stand) -> None:
    with signing_in(stand, discovery=f"/wrong{DISCOVERY}") as (port, _, log), chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://localhost:{port}/")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("You could not be signed in.")).to_be_visible()
        page.goto(f"http://localhost:{port}/oauth2callback?error=access_denied&state=x")
        expect(page.get_by_text("You could not be signed in.")).to_be_visible()
        page.goto(f"http://localhost:{port}/oauth2callback?code=x&state=x")
        expect(page.get_by_text("You could not be signed in.")).to_be_visible()
    printed = log.read_text()
    assert "Error during OAuth authorization redirect. HTTPStatusError: " in printed
    assert "Traceback" not in printed


def nothing_is_shown_to_strangers(browser: Browser, port: int) -> None:
    host = "Host: localhost:PORT"
    forged = f"Cookie: {cookie(CLAIMS, secret='f' * 32)[1].decode()}"
    for path in ("/media/none.csv", "/_stcore/metrics", "/_stcore/upload_file/a/b", "/component/a/b", "/none"):
        assert get(port, path, host)[0] == 401, path
        assert get(port, path, host, forged)[0] == 401, path
    assert get(port, HEALTH, host)[0] == 200
    assert shake(port, host, "Origin: http://localhost:PORT") == 101  # only to draw the button
    page = browser.new_context().new_page()
    refused = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    for name in PAGES:
        page.goto(f"http://localhost:{port}/{name}")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(1)
        assert "Plumbline" in page.locator("h1").inner_text()
        assert page.locator("[data-testid=stSidebar]").count() == 0
    assert [
        url for url in refused if "/_stcore/" not in url
    ] == []  # a page looks for the base of its addresses there
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(lambda: page.evaluate(BESIDE) == [])
    if (engine := engines.AXE.found()) is not None:
        page.evaluate((engine / "package" / "axe.min.js").read_text(encoding="utf-8"))
        assert broken_rules(page) == []


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_sign_in_that_ends_closes_the_page_and_who_is_not_named_sees_none(stand: Stand) -> None:
    stand.agree(3)
    stand.sweep()
    with (
        signing_in(stand, "--viewer", "ada@example.com") as (port, _, _log),
        chromium() as browser,
    ):
        eve = browser.new_context().new_page()
        eve.goto(f"http://localhost:{port}/")
        eve.get_by_role("button", name="Sign in").click()
        eve.locator("input[name=sub]").fill("eve@example.com")
        eve.get_by_role("button", name=re.compile("authorize", re.IGNORECASE)).first.click()
        expect(eve.get_by_text("eve@example.com may not view this dashboard")).to_be_visible()
        assert get(port, "/media/none.csv", "Host: localhost:PORT", f"Cookie: {cookies_of(eve)}")[0] == 403
        sign_out(eve)

        ended = {**CLAIMS, "origin": f"http://localhost:{port}", "iat": int(time.time()) - 13 * 3600}
        name, value = cookie(ended)[1].decode().split("=", 1)
        context = browser.new_context()
        context.add_cookies([{"name": name, "value": value, "url": f"http://localhost:{port}"}])
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")
        expect(page.get_by_text(ENDED)).to_be_visible()
