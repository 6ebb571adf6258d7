"""E-mail through a real SMTP server (aiosmtpd): sessions, TLS, and what is certain after each failure."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditor.senders.contract import Receipt
from auditor.senders.email import EmailSettings, message
from tests.auditor.senders.receivers import NOTICE, opened, sent
from tests.servers import free_port
from tests.waiting import PATIENCE_S

PASSWORD = "Zw0lfBoxk4mpfer"
PLAIN: dict[str, Any] = {"security": "none"}
LOGIN: dict[str, Any] = {"user": "plumbline", "password": PASSWORD}


class Mailbox:
    """Keeps what it gets, and replies as told, by command."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.got: list[bytes] = []
        self.tls: list[bool] = []

    async def handle_RCPT(  # noqa: N802  aiosmtpd's own name
        self, _server: object, _session: object, envelope: Any, address: str, _o: object
    ) -> str:
        reply = self.replies.get(address, self.replies.get("RCPT", "250 OK"))
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: object, session: Any, envelope: Any) -> str:  # noqa: N802  likewise
        reply = self.replies.get("DATA", "250 OK")
        self.tls.append(session.ssl is not None)
        if reply.startswith("250"):
            self.got.append(envelope.content)
        return reply


@contextlib.contextmanager
def server(handler: Mailbox, *, implicit: ssl.SSLContext | None = None, **words: Any) -> Iterator[int]:
    class Local(Controller):
        def factory(self) -> SMTP:
            return SMTP(handler, **words)

    port = free_port()
    controller = Local(handler, hostname="127.0.0.1", port=port, ssl_context=implicit)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextlib.contextmanager
def scripted(*replies: bytes) -> Iterator[int]:
    """A server that sends these replies, one per line that it gets, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                taken, _ = listener.accept()
                with taken, taken.makefile("rb") as lines:
                    for reply in replies:
                        taken.sendall(reply)
                        lines.readline()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


@pytest.fixture
def context(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS; the sender trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


def tried(port: int, **more: Any) -> Receipt:
    return sent(opened("email", "127.0.0.1", port=port, **more))


def parsed(content: bytes) -> EmailMessage:
    read = message_from_bytes(content, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def test_a_message_says_what_where_and_how_many() -> None:
    with server(mailbox := Mailbox()) as port:
        sender = opened(
            "email", "127.0.0.1", port=port, dashboard="http://d", to=["a@x.example", "b@x.example"], **PLAIN
        )
        assert sender.send(NOTICE, possible_repeat=True) == Receipt(outcome="sent")
        assert sender.send({**NOTICE, "transition": "resolved"}, possible_repeat=False) == Receipt(outcome="sent")
    first, second = map(parsed, mailbox.got)
    assert first["Subject"].strip() == f"[OPENED] {NOTICE['summary']}"
    assert first["To"] == "a@x.example, b@x.example"
    text = first.get_content()
    for word in (NOTICE["summary"], "possible duplicate", "crm → billing", "Team: billing", "http://d/drift", "wiki"):
        assert word in text
    assert first["References"] == second["References"]
    assert "Resolved after: 5 min" in second.get_content()


@given(st.text(), st.text(max_size=500))
def test_no_text_adds_a_header_or_a_recipient(summary: str, text: str) -> None:
    hostile = f"x\r\nBcc: evil@x.example\r\n\r\n{summary}\ud800"
    notice = {**NOTICE, **dict.fromkeys(("team", "detail", "flow"), text), "summary": hostile}
    built = message(notice, sender="a@x.example", to=("b@x.example",), dashboard="http://d", possible_repeat=True)
    read = parsed(built.as_bytes())
    assert set(read.keys()) == set(built.keys())
    assert "Bcc" not in read
    assert all(len(line) <= 998 for line in built.as_bytes().splitlines())


def test_a_line_that_is_a_dot_does_not_end_the_message() -> None:
    with server(mailbox := Mailbox()) as port:
        sender = opened("email", "127.0.0.1", port=port, **PLAIN)
        assert sender.send({**NOTICE, "summary": ".", "detail": ".."}, possible_repeat=False).outcome == "sent"
    assert parsed(mailbox.got[0]).get_content().splitlines()[:3] == [".", "", ".."]


def test_starttls_and_a_login(context: ssl.SSLContext) -> None:
    mailbox = Mailbox()

    def login(_server: object, _session: object, _envelope: object, _mechanism: object, given: Any) -> AuthResult:
        right = (given.login, given.password) == (b"plumbline", PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    words: dict[str, Any] = {
        "tls_context": context,
        "authenticator": login,
        "auth_required": True,
        "require_starttls": True,
    }
    with server(mailbox, **words) as port:
        assert tried(port, **LOGIN) == Receipt(outcome="sent")
        refused = tried(port, user="plumbline", password=PASSWORD + "x")
    assert mailbox.tls == [True]
    assert refused.outcome == "rejected"
    assert refused.error.startswith("SMTP 535")
    assert PASSWORD not in refused.error


def test_tls_from_the_first_byte(context: ssl.SSLContext) -> None:
    with server(mailbox := Mailbox(), implicit=context) as port:
        assert tried(port, security="tls") == Receipt(outcome="sent")
    assert len(mailbox.got) == 1


def test_a_certificate_that_nobody_trusts_gets_no_message(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with server(mailbox := Mailbox(), tls_context=context) as port:
        receipt = tried(port)
    assert receipt == Receipt(outcome="refused", error="no session (SSLCertVerificationError)")
    assert mailbox.got == []


def test_without_starttls_nothing_is_sent() -> None:
    with server(mailbox := Mailbox()) as port:
        assert tried(port).outcome == "rejected"
    assert mailbox.got == []


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
@pytest.mark.parametrize(("reply", "outcome"), [("451 Try later", "refused"), ("554 No such user", "rejected")])
def test_a_reply_says_whether_to_try_again(command: str, reply: str, outcome: str) -> None:
    with server(Mailbox(**{command: reply})) as port:
        assert tried(port, **PLAIN) == Receipt(outcome=outcome, error=f"SMTP {reply[:3]}: {reply[4:]}")  # type: ignore[arg-type]


def test_a_recipient_that_is_refused_is_named() -> None:
    with server(mailbox := Mailbox(**{"gone@x.example": "550 Gone"})) as port:
        receipt = tried(port, to=["gone@x.example", "ops@x.example"], **PLAIN)
    assert receipt == Receipt(outcome="sent", error="not delivered to gone@x.example")
    assert len(mailbox.got) == 1


def test_a_connection_that_is_lost_is_ambiguous_only_after_the_message() -> None:
    session = [b"220 x\r\n", b"250 x\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 Go on\r\n"]
    for replies in range(len(session)):
        with scripted(*session[:replies]) as port:
            assert tried(port, **PLAIN).outcome == "refused", replies
    with scripted(*session) as port:
        assert tried(port, **PLAIN).outcome == "ambiguous"
    assert tried(free_port(), **PLAIN).outcome == "refused"


def test_a_server_that_drips_is_cut_off_at_the_deadline() -> None:
    over = threading.Event()

    def drip(taken: socket.socket) -> None:
        taken.sendall(b"220")
        while not over.wait(0.05):
            taken.sendall(b"-x\r\n220")

    with hanging(drip) as port:
        assert sent(opened("email", "127.0.0.1", port=port, timeout_s=1.0, **PLAIN)).outcome == "refused"
        over.set()


def test_closing_it_cuts_off_a_try_under_way() -> None:
    reached, over = threading.Event(), threading.Event()

    def hang(_: socket.socket) -> None:
        reached.set()
        over.wait(PATIENCE_S)

    with hanging(hang) as port:
        sender = opened("email", "127.0.0.1", port=port, timeout_s=10 * PATIENCE_S, **PLAIN)
        receipts: list[Receipt] = []
        trying = threading.Thread(target=lambda: receipts.append(sender.send(NOTICE, possible_repeat=False)))
        trying.start()
        assert reached.wait(PATIENCE_S)
        sender.close()
        trying.join(PATIENCE_S)
        over.set()
        assert [each.outcome for each in receipts] == ["refused"]
        assert sent(sender).outcome == "refused"


@contextlib.contextmanager
def hanging(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken, _ = listener.accept()
                    with contextlib.suppress(OSError), taken:
                        serve(taken)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"host": "smtp://u:p@x.example"}, "name of the SMTP server alone"),
        ({"from": "Plumbline <a@x.example>"}, "name@example.com alone"),
        ({"to": ["a@x.example\r\nBcc: b@x.example"]}, "name@example.com alone"),
        ({"to": []}, "at least 1 item"),
        ({"user": "a"}, "write both or none"),
        ({"security": "none", **LOGIN}, "plain text"),
    ],
)
def test_wrong_settings_say_what_to_write(words: dict[str, Any], said: str) -> None:
    given = {"host": "smtp.example.com", "from": "a@x.example", "to": "b@x.example"}
    assert EmailSettings.model_validate(given).to == ("b@x.example",)
    with pytest.raises(ValidationError, match=said) as refused:
        EmailSettings.model_validate({**given, **words})
    assert PASSWORD not in str(refused.value.errors(include_input=False))
