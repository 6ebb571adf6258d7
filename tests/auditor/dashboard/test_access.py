"""Under which names the dashboard answers, to which pages, in no frame; and who may act there."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from auditor.dashboard.access import (
    HEALTH,
    LOCAL,
    Access,
    AccessError,
    Asks,
    Onlooker,
    Person,
    Stranger,
    access_of,
    refusal,
    who,
)
from auditor.dashboard.guard import PERSON, Guard, sealed, unsealed
from auditor.dashboard.serving import cannot_listen
from tests import HOME
from tests.auditor.cli.process import auditor
from tests.auditor.screens import chromium, served
from tests.servers import free_port, wait_for_port
from tests.sign_in import SignIn
from tests.stand import Stand

STREAM = "/_stcore/stream"
PATHS = ["/", "/drift", "/_stcore/health", "/_stcore/host-config", "/static/none.js", "/media/none.csv", "/none"]
EVIL = [
    "evil.example",
    "evil.example:PORT",
    "localhost.evil.example:PORT",
    "127.0.0.1.evil.example",
    "localhost:PORT@evil.example",
    "evil.example#localhost",
    "evil.example/localhost",
    "0.0.0.0:PORT",
    "127.1",
    "2130706433:PORT",
    "0x7f.0.0.1:PORT",
    "[::ffff:127.0.0.1]:PORT",
    "[::]:PORT",
    "169.254.169.254",
    "localhost:99999",
    "localhost:80x",
    "local host",
    "ｌocalhost",
    "",
]
GOOD = ["127.0.0.1", "127.0.0.1:PORT", "localhost", "LocalHost:PORT", "localhost.", "[::1]:PORT", "[0:0:0:0:0:0:0:1]"]


def environment(stand: Stand) -> dict[str, str]:
    return {
        "AUDITOR_MAP": str(stand.map_file),
        "AUDITOR_DATA": str(stand.place / "var"),
        "AUDITOR_LEDGER": stand.ledger_url,
    }


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A dashboard as it is started without any setting."""
    with served([str(HOME / "app.py")], {"AUDITOR_MAP": "/nowhere"}) as address:
        yield int(address.rpartition(":")[2])


@contextmanager
def dashboard(stand: Stand, *options: str) -> Iterator[int]:
    """The command `auditor dashboard`, as a process; it must end by itself when it is told to."""
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    command = [sys.executable, "-m", "auditor", "dashboard", "--port", str(port), *options]
    places = ["--map", str(stand.map_file), "--data", str(stand.place / "var")]
    told = {**clean, **environment(stand), "PYTHONPATH": str(HOME)}
    process = subprocess.Popen([*command, *places], cwd=stand.place, env=told, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port, process, 120)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ask(port: int, request: str) -> tuple[int, str]:
    """The status and the whole answer to a request written by hand; 0 where the connection just ends."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        connection.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            read = connection.recv(65536)
            if not read:
                break
            answer += read
        found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", answer)
        return int(found[1]) if found else 0, answer.decode("latin-1")


def get(port: int, path: str = "/", *fields: str, version: str = "1.1") -> tuple[int, str]:
    lines = [f"GET {path} HTTP/{version}", *fields, "Connection: close", "", ""]
    return ask(port, "\r\n".join(lines).replace("PORT", str(port)))


def shake(port: int, *fields: str) -> int:
    """The status of a WebSocket's handshake; 101 opens it."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    lines = [
        f"GET {STREAM} HTTP/1.1",
        *fields,
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key),
        *("Sec-WebSocket-Protocol: streamlit", "", ""),
    ]
    return ask(port, "\r\n".join(lines).replace("PORT", str(port)))[0]


@pytest.mark.parametrize("host", EVIL)
def test_nothing_is_answered_under_another_name(port: int, host: str) -> None:
    for path in PATHS:
        assert get(port, path, f"Host: {host}")[0] in {400, 421}, path
    assert shake(port, f"Host: {host}", f"Origin: http://{host}") in {400, 421}
    assert shake(port, f"Host: {host}", "Origin: http://localhost:PORT") in {400, 421}


@pytest.mark.parametrize("host", GOOD)
def test_loopback_names_are_answered(port: int, host: str) -> None:
    assert get(port, "/", f"Host: {host}")[0] == 200
    assert get(port, "/_stcore/health", f"Host: {host}")[0] == 200
    assert shake(port, f"Host: {host}", f"Origin: http://{host}") == 101


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "http://evil.example",
            "https://evil.example:PORT",
            "null",
            "file://",
            "http://localhost",
            "http://127.0.0.1",
        ),
        *("http://localhost:3000", "http://localhost:PORT.evil.example", "http://localhost:PORT@evil.example"),
        *("http://evil.example#localhost:PORT", "http://evil.example/localhost:PORT", "localhost:PORT", ""),
        *(
            "chrome-extension://abc",
            "http://127.0.0.1:PORT",
            "http://[::1]:PORT",
            "http://evil.example\\@localhost:PORT",
        ),
    ],
)
def test_no_page_of_another_site_opens_the_websocket_or_asks(port: int, origin: str) -> None:
    assert shake(port, "Host: localhost:PORT", f"Origin: {origin}") == 403
    if origin:
        assert get(port, "/_stcore/health", "Host: localhost:PORT", f"Origin: {origin}")[0] == 403


def test_a_path_that_does_not_exist_is_no_success(port: int) -> None:
    host = "Host: localhost:PORT"
    for path in ("/healthz", "/metrics", "/api/records/customer/1", "/overview/more", "/nothing"):
        assert get(port, path, host)[0] == 404, path
    for path in ("/", "/index.html", "/dead-letters?range=1+h", "/_stcore/health"):
        assert get(port, path, host)[0] == 200, path


def test_the_first_page_is_found_under_its_name_as_well(port: int) -> None:
    status, said = get(port, "/overview?range=6+h", "Host: 127.0.0.1:PORT")
    assert status == 302
    assert "location: /?range=6+h\r\n" in said
    assert "location: /\r\n" in get(port, "/overview/", "Host: 127.0.0.1:PORT")[1]
    assert get(port, "/drift", "Host: 127.0.0.1:PORT")[0] == 200


def test_requests_of_no_browser_are_refused(port: int) -> None:
    assert get(port, "/")[0] in {400, 421}  # no Host
    assert get(port, "/", version="1.0")[0] in {400, 421}
    assert get(port, "/", "Host: localhost", "Host: evil.example")[0] in {400, 421}
    assert get(port, "/", "Host: evil.example", "Host: localhost")[0] in {400, 421}
    assert get(port, "http://evil.example/", "Host: localhost:PORT")[0] == 400
    assert get(port, "http://localhost:PORT/", "Host: evil.example")[0] in {400, 421}
    assert shake(port, "Host: localhost:PORT") == 403  # no Origin
    origins = ("Origin: http://localhost:PORT", "Origin: http://evil.example")
    assert shake(port, "Host: localhost:PORT", *origins) in {400, 403}


@pytest.mark.parametrize(
    "told",
    [
        "X-Forwarded-Host: localhost:PORT",
        "Forwarded: host=localhost:PORT;for=127.0.0.1",
        "X-Original-Host: localhost",
        "X-Host: localhost",
        "X-Forwarded-Server: localhost",
    ],
)
def test_no_other_header_names_the_host(port: int, told: str) -> None:
    assert get(port, "/", "Host: evil.example", told)[0] == 421
    assert get(port, HEALTH, "Host: localhost:PORT", told.replace("localhost", "evil.example"))[0] == 200


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_frames_and_outside_hosts(port: int, path: str) -> None:
    for host in ("localhost:PORT", "evil.example"):
        _, answer = get(port, path, f"Host: {host}")
        told = answer.partition("\r\n\r\n")[0].lower()
        assert "x-frame-options: deny" in told
        assert "frame-ancestors 'none'" in told
        assert "x-content-type-options: nosniff" in told
        assert "referrer-policy: same-origin" in told
        assert "img-src 'self' data: blob:;" in told
        assert re.search("script-src 'self' 'sha256-[^ ;]+';", told)
        assert "access-control-allow-origin: *" not in told


def _answer(body: str, route: Route) -> None:
    route.fulfill(content_type="text/html", body=body)


@pytest.mark.browser
def test_a_browser_cannot_be_led_there_by_another_name_nor_frame_it(port: int) -> None:
    """DNS rebinding as it is done: a foreign name that leads to 127.0.0.1; and a page that frames the dashboard."""
    attack = (
        f"<iframe name=f src='http://localhost:{port}/'></iframe><script>"
        f"const s = new WebSocket('ws://TARGET:{port}{STREAM}', ['streamlit']);"
        "s.onopen = () => document.title = 'open'; s.onerror = () => document.title = 'refused'</script>"
    )
    with chromium("--host-resolver-rules=MAP *.example 127.0.0.1") as browser:
        page = browser.new_page()
        answer = page.goto(f"http://evil.example:{port}/")
        assert answer is not None
        assert answer.status == 421
        for target in ("localhost", "evil.example"):
            place = f"http://evil.example:{port}/of-{target}"
            page.route(place, partial(_answer, attack.replace("TARGET", target)))
            page.goto(place)
            page.wait_for_function("document.title !== ''")
            assert page.title() == "refused"
            inside = page.frame(name="f")
            assert inside is not None
            assert inside.query_selector("#root") is None


@pytest.mark.browser
def test_it_stops_while_pages_are_open(stand: Stand) -> None:
    with chromium() as browser, dashboard(stand) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("heading", name="Overview").wait_for(timeout=90_000)


def local_scope(*more: tuple[bytes, bytes], kind: str = "websocket", peer: str = "127.0.0.1") -> dict[str, Any]:
    headers = [(b"host", b"localhost:8501"), (b"origin", b"http://localhost:8501"), *more]
    return {"type": kind, "path": STREAM, "raw_path": STREAM.encode(), "headers": headers, "client": (peer, 1)}


def passed(guard_access: Access, scope: dict[str, Any]) -> Asks | None:
    """Who the pages behind the guard are told has asked; None if the guard let nothing through."""
    seen: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.extend(value.decode() for name, value in scope["headers"] if name.lower() == PERSON.lower().encode())

    async def nothing() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(app, access=guard_access, page="")(scope, nothing, send))
    assert len(seen) == 1 - len(sent)
    return unsealed(seen[0]) if seen else None


def test_whoever_sits_at_the_machine_acts_as_the_local_operator() -> None:
    assert passed(Access(), local_scope()) == Person(name=None, known_by=LOCAL)
    assert passed(Access(), local_scope(peer="::1")) == Person(name=None, known_by=LOCAL)
    assert isinstance(passed(Access(read_only=True), local_scope()), Onlooker)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("more", "peer"),
    [
        ([], "192.0.2.7"),
        ([(b"x-forwarded-for", b"127.0.0.1")], "127.0.0.1"),
        ([(b"x-forwarded-host", b"localhost")], "127.0.0.1"),
        ([(b"forwarded", b"for=127.0.0.1")], "127.0.0.1"),
        ([(b"via", b"1.1 proxy")], "127.0.0.1"),
        ([(b"x-real-ip", b"127.0.0.1")], "127.0.0.1"),
        ([], ""),
    ],
)
def test_nobody_else_sees_anything_unless_a_sign_in_names_them(
    kind: str, more: list[tuple[bytes, bytes]], peer: str
) -> None:
    scope = local_scope(*more, peer=peer)
    for access in (Access(), Access(read_only=True)):
        assert isinstance(who(access, headers=scope["headers"], peer=peer), Stranger)
        assert answered(access, {**scope, "type": kind}) == 401


def answered(access: Access, scope: dict[str, Any]) -> int:
    """The status with which the guard refuses; 200 if it lets the request through."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        sent.append({"status": 200})

    async def nothing() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {**scope, "extensions": {"websocket.http.response": {}}}
    asyncio.run(Guard(app, access=access, page="")(scope, nothing, send))
    return int(sent[0]["status"])


SIGNED = access_of(
    {
        "AUDITOR_HOSTS": "plumbline.example.com, [2001:DB8::1]",
        "AUDITOR_USER_HEADER": "X-Forwarded-User",
        "AUDITOR_PROXIES": "10.0.0.0/24 127.0.0.9",
        "FORWARDED_ALLOW_IPS": "",
    }
)
ADA = (b"x-forwarded-user", b"ada@example.com")


@pytest.mark.parametrize("peer", ["10.0.0.7", "127.0.0.9", "::ffff:10.0.0.7"])
def test_a_person_is_known_by_the_header_of_a_listed_proxy(peer: str) -> None:
    known = Person(name="ada@example.com", known_by="signed in, by x-forwarded-user")
    assert passed(SIGNED, local_scope(ADA, peer=peer)) == known
    assert passed(SIGNED, local_scope(ADA, (b"x-forwarded-for", b"203.0.113.1"), peer=peer)) == known


@pytest.mark.parametrize(
    "scope",
    [
        local_scope(ADA),  # this machine is not listed
        local_scope(ADA, peer="10.0.1.7"),
        local_scope(ADA, peer=""),
        local_scope(peer="10.0.0.7"),
        local_scope((b"x-forwarded-user", b" "), peer="10.0.0.7"),
        local_scope(ADA, (b"X-Forwarded-User", b"eve"), peer="10.0.0.7"),
        local_scope((b"x-forwarded-user", b"a" * 257), peer="10.0.0.7"),
        local_scope((b"x-forwarded-user", b"ada\x1b[31m"), peer="10.0.0.7"),
        local_scope((b"x-forwarded-user", "ad\u202ea".encode()), peer="10.0.0.7"),
        local_scope((b"x_forwarded_user", b"ada"), peer="10.0.0.7"),
        local_scope((b"remote-user", b"ada"), peer="10.0.0.7"),
        local_scope((PERSON.encode(), b'x {"name": "ada", "known_by": "x"}'), peer="10.0.0.7"),
        local_scope((PERSON.encode(), sealed(Person(name="eve", known_by="x")).encode()), peer="10.0.0.7"),
    ],
)
def test_a_name_from_elsewhere_names_nobody(scope: dict[str, Any]) -> None:
    assert passed(SIGNED, scope) is None
    assert answered(SIGNED, {**scope, "type": "http", "path": "/media/none.csv"}) == 401
    assert answered(SIGNED, {**scope, "type": "http", "path": HEALTH}) == 200


def of_proxy(name: str, groups: str = "") -> dict[str, Any]:
    return local_scope((b"x-forwarded-user", name.encode()), (b"x-groups", groups.encode()), peer="10.0.0.7")


LISTS = {
    "AUDITOR_HOSTS": "plumbline.example.com",
    "AUDITOR_USER_HEADER": "X-Forwarded-User",
    "AUDITOR_GROUP_HEADER": "X-Groups",
    "AUDITOR_PROXIES": "10.0.0.7",
    "FORWARDED_ALLOW_IPS": "",
}


@pytest.mark.parametrize(
    ("operators", "viewers", "acts", "looks", "turned_away"),
    [
        ("", "", ["ada@example.com", "bob"], [], []),
        ("ada@example.com", "", ["Ada@Example.com"], ["bob"], []),
        ("", "bob", [], ["bob"], ["ada@example.com"]),
        ("ada@example.com", "bob", ["ada@example.com"], ["bob"], ["Bob", "eve"]),
        ("@example.com", "@EXAMPLE.org", ["ada@example.com"], ["bob@example.org"], ["eve@sub.example.org", "eve"]),
        ("ada@example.com", "ada@example.com", ["ada@example.com"], [], ["\u212aada@example.com"]),
    ],
)
def test_the_lists_say_who_acts_and_who_looks(
    operators: str, viewers: str, acts: list[str], looks: list[str], turned_away: list[str]
) -> None:
    lists = {"AUDITOR_OPERATORS": operators, "AUDITOR_VIEWERS": viewers}
    access, read_only = access_of({**LISTS, **lists}), access_of({**LISTS, **lists, "AUDITOR_READ_ONLY": "yes"})
    for name in acts:
        assert passed(access, of_proxy(name)) == Person(name=name, known_by="signed in, by x-forwarded-user")
    for name in looks:
        assert isinstance(passed(access, of_proxy(name)), Onlooker)
    for name in [*acts, *looks]:
        assert isinstance(passed(read_only, of_proxy(name)), Onlooker)
    for name in turned_away:
        assert answered(access, of_proxy(name)) == answered(read_only, of_proxy(name)) == 403


def test_a_group_is_believed_of_the_proxy_alone_and_once() -> None:
    access = access_of({**LISTS, "AUDITOR_OPERATORS": "group:Data Ops", "AUDITOR_VIEWERS": "group:staff"})
    assert isinstance(passed(access, of_proxy("ada", "staff, Data Ops")), Person)
    assert isinstance(passed(access, of_proxy("ada", "staff")), Onlooker)
    assert answered(access, of_proxy("ada", "ops")) == 403
    assert answered(access, of_proxy("group:Data Ops")) == 403
    twice = of_proxy("ada", "staff")
    twice["headers"].append((b"x-groups", b"Data Ops"))
    assert answered(access, twice) == 403
    assert answered(access, {**of_proxy("ada", "Data Ops"), "client": ("127.0.0.1", 1)}) == 401


@pytest.mark.parametrize(
    "told", [None, "", "x", f'{"0" * 32} {{"name": "eve", "known_by": "x"}}', '{"known_by": "x"}']
)
def test_a_page_believes_the_guard_alone(told: str | None) -> None:
    assert isinstance(unsealed(told), Stranger)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        (b"plumbline.example.com", b"https://plumbline.example.com", None),
        (b"127.0.0.1:8501", b"https://plumbline.example.com", None),  # a proxy that names itself the host
        (b"[2001:db8:0::1]", b"https://[2001:db8::1]:8443", None),
        (b"plumbline.example.com", b"https://sub.plumbline.example.com", 403),
        (b"plumbline.example.com", b"https://plumbline.example.com.evil.example", 403),
        (b"sub.plumbline.example.com", b"https://sub.plumbline.example.com", 421),
        (b"evil.example", b"https://plumbline.example.com", 421),
    ],
)
def test_a_host_that_is_named_is_answered_and_no_other(host: bytes, origin: bytes, status: int | None) -> None:
    headers = [(b"host", host), (b"origin", origin)]
    found = refusal(SIGNED, websocket=True, headers=headers, target=b"/")
    assert (found.status if found else None) == status


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AUDITOR_HOSTS": "*"}, "is not a host name"),
        ({"AUDITOR_HOSTS": "https://plumbline.example.com"}, "is not a host name"),
        ({"AUDITOR_HOSTS": "plumbline.example.com:8501"}, "is not a host name"),
        ({"AUDITOR_HOSTS": "plumbline..com"}, "is not a host name"),
        ({"AUDITOR_HOSTS": ".example.com"}, "is not a host name"),
        ({"AUDITOR_HOSTS": "plumbline.example.com"}, "must sign in"),
        ({"AUDITOR_HOSTS": "plumbline.example.com", "AUDITOR_READ_ONLY": "yes"}, "must sign in"),
        ({"AUDITOR_OPERATORS": "ada"}, "nobody signs in"),
        ({"AUDITOR_VIEWERS": "ada"}, "nobody signs in"),
        ({"AUDITOR_GROUP_HEADER": "X-Groups"}, "with --user-header"),
        ({**LISTS, "AUDITOR_GROUP_HEADER": "", "AUDITOR_OPERATORS": "group:ops"}, "with --group-header"),
        ({**LISTS, "AUDITOR_GROUP_HEADER": "Cookie"}, "by browsers"),
        ({**LISTS, "AUDITOR_OPERATORS": "group:"}, "names no group"),
        ({**LISTS, "AUDITOR_VIEWERS": "*@example.com"}, "wildcards"),
        ({**LISTS, "AUDITOR_VIEWERS": "@example"}, "not a domain"),
        ({"AUDITOR_USER_HEADER": "X-User"}, "with --proxy"),
        ({"AUDITOR_PROXIES": "10.0.0.1"}, "with --user-header"),
        ({"AUDITOR_USER_HEADER": "X User", "AUDITOR_PROXIES": "10.0.0.1"}, "not the name of a header"),
        ({"AUDITOR_USER_HEADER": "X-User", "AUDITOR_PROXIES": "proxy"}, "FORWARDED_ALLOW_IPS"),
        *(
            ({"AUDITOR_USER_HEADER": name, "AUDITOR_PROXIES": "10.0.0.1", "FORWARDED_ALLOW_IPS": ""}, "by browsers")
            for name in ("Host", "Cookie", "origin", "Referer", "User-Agent", "Accept-Language", "Sec-Fetch-Site")
        ),
        *(
            ({"AUDITOR_USER_HEADER": "X-User", "AUDITOR_PROXIES": wide, "FORWARDED_ALLOW_IPS": ""}, "anyone could")
            for wide in ("0.0.0.0/0", "10.0.0.1 ::/0", "0.0.0.0/1", "8000::/1")
        ),
        (
            {"AUDITOR_USER_HEADER": "X-User", "AUDITOR_PROXIES": "proxy", "FORWARDED_ALLOW_IPS": ""},
            "is not an address",
        ),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(AccessError, match=said):
        access_of(settings)


OPTIONS = {
    "--host": "AUDITOR_HOSTS",
    "--user-header": "AUDITOR_USER_HEADER",
    "--group-header": "AUDITOR_GROUP_HEADER",
    "--proxy": "AUDITOR_PROXIES",
    "--operator": "AUDITOR_OPERATORS",
    "--viewer": "AUDITOR_VIEWERS",
    "--oidc-metadata": "AUDITOR_OIDC_METADATA_URL",
    "--oidc-client": "AUDITOR_OIDC_CLIENT_ID",
}


def test_every_command_of_the_documentation_starts() -> None:
    written = (HOME / "docs" / "operations.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^ +auditor dashboard( --.*)$", written, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        settings: dict[str, list[str]] = {}
        for option, value in re.findall(r"(--[a-z-]+) (\S+)", command):
            settings.setdefault(OPTIONS[option], []).append(value)
        given = {name: ",".join(values) for name, values in settings.items()}
        access_of(
            {**given, "FORWARDED_ALLOW_IPS": "", **({"AUDITOR_OIDC_CLIENT_SECRET": "x"} if "oidc" in command else {})}
        )


def test_the_command_refuses_what_cannot_be_meant(tmp_path: Path) -> None:
    (tmp_path / "plumbline.yaml").write_text("")
    for words, said in (
        (("--address", "0.0.0.0"), "--host"),
        (("--host", "http://x"), "is not a host name"),
        (("--user-header", "X-User"), "--proxy"),
        (("--host", "plumbline.example.com"), "must sign in"),
        (("--host", "plumbline.example.com", "--read-only"), "must sign in"),
        (("--address", "0.0.0.0", "--host", "plumbline.example.com"), "must sign in"),
        (("--operator", "ada"), "nobody signs in"),
    ):
        done = auditor("dashboard", "--map", str(tmp_path / "plumbline.yaml"), *words)
        assert done.returncode == 2
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


@pytest.mark.browser
def test_a_mistyped_folder_is_not_made(stand: Stand) -> None:
    wrong = stand.place / "vra"
    settings = {"AUDITOR_MAP": str(stand.map_file), "AUDITOR_DATA": str(wrong)}
    with served([str(HOME / "app.py")], settings) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        expect(page.get_by_text("There is no ledger in")).to_be_visible(timeout=60_000)
        assert not wrong.exists()


@pytest.fixture
def disputed(stand: Stand) -> Stand:
    """A stand with one conflict that no rule decides."""
    stand.agree(3)
    stand.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 3")
    stand.sweep()
    deadline = time.monotonic() + 60
    while not stand.ledger.conflicts.listed() and time.monotonic() < deadline:
        stand.sweep()
    return stand


def conflict_page(page: Page, port: int) -> None:
    page.goto(f"http://127.0.0.1:{port}/conflicts?conflict=1")
    page.get_by_role("heading", name="As it is now").wait_for(timeout=90_000)


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_decision_names_who_signed_in_and_only_they_decide(disputed: Stand) -> None:
    options = ("--user-header", "X-Forwarded-User", "--proxy", "127.0.0.9")
    with dashboard(disputed, *options, "--operator", "ada@example.com") as port, chromium() as browser:
        sign_in = SignIn(port, header="X-Forwarded-User", name="ada@example.com", source="127.0.0.9")
        viewer = SignIn(port, header="X-Forwarded-User", name="bob@example.com", source="127.0.0.9")
        stranger = SignIn(port, header="X-Forwarded-User", name="eve@example.com", source="127.0.0.2")
        page = browser.new_page()
        for direct in (port, stranger.port):
            answer = page.goto(f"http://127.0.0.1:{direct}/conflicts?conflict=1")
            assert answer is not None
            assert answer.status == 401
            assert "only open to people who sign in" in answer.text()
            assert shake(direct, "Host: localhost:PORT", "Origin: http://localhost:PORT") == 401
        conflict_page(page, viewer.port)
        expect(page.get_by_text("You can look, but not decide.")).to_be_visible()
        expect(page.get_by_role("button", name="Decide")).to_have_count(0)
        conflict_page(page, sign_in.port)
        expect(page.get_by_text("Signed in as ada@example.com")).to_be_visible()
        expect(page.get_by_label("Your name")).to_have_count(0)
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("heading", name=re.compile("decided"))).to_be_visible(timeout=60_000)
        for each in (sign_in, viewer, stranger):
            each.close()
    found = disputed.ledger.conflicts.find(1)
    assert found is not None
    assert (found[1][-1].who, found[1][-1].known_by) == ("ada@example.com", "signed in, by x-forwarded-user")


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_the_local_operator_is_told_what_they_are(disputed: Stand) -> None:
    with dashboard(disputed) as port, chromium() as browser:
        page = browser.new_page()
        conflict_page(page, port)
        expect(page.get_by_text("nobody has signed in")).to_be_visible()
        page.get_by_label("Your name").fill("grace")
        page.get_by_label("Your name").press("Enter")
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("heading", name=re.compile("decided"))).to_be_visible(timeout=60_000)
    found = disputed.ledger.conflicts.find(1)
    assert found is not None
    assert (found[1][-1].who, found[1][-1].known_by) == ("grace", LOCAL)


def test_the_command_line_records_whose_login_it_was(disputed: Stand) -> None:
    words = ("--map", str(disputed.map_file), "--data", str(disputed.place / "var"))
    done = auditor("conflicts", "comment", "1", "seen", *words, "--who", "ada", AUDITOR_LEDGER=disputed.ledger_url)
    assert done.returncode == 0, done.stderr
    found = disputed.ledger.conflicts.find(1)
    assert found is not None
    assert found[1][-1].who == "ada"
    assert (found[1][-1].known_by or "").startswith("command line, login ")


def test_an_onlooker_is_told_why() -> None:
    told = who(Access(read_only=True), headers=[], peer="127.0.0.1")
    assert isinstance(told, Onlooker)
    assert "--read-only" in told.why


def test_where_it_cannot_listen_is_said_before_it_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cannot_listen("127.0.0.1", port).startswith(f"--port: {port} is in use on 127.0.0.1")
    assert cannot_listen("127.0.0.1", port) == ""
    assert (
        cannot_listen("no such name", 0) == "--address: no such name is neither an address nor a name of this machine"
    )
    assert cannot_listen("192.0.2.7", 0).startswith("--address: cannot listen on 192.0.2.7: ")  # RFC 5737: nobody's
