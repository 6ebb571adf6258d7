"""E-mail: a notice as a plain text message through an SMTP server (RFC 5321), with TLS or STARTTLS (RFC 3207).

The messages of one incident form a thread (RFC 5322, `References`).
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email import policy
from email.message import EmailMessage
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Receipt, SenderSettings
from auditor.senders.notice_text import REPEAT, clipped, facts, incident_key, links
from probes.secrets import Scrubber

PORTS = {"starttls": 587, "tls": 465, "none": 25}

SUBJECT_LIMIT = 200
TEXT_LIMIT = 5000

_MAILBOX = re.compile(r"[!-?A-~]+@[A-Za-z0-9.-]+")
_HOST = re.compile(r"[A-Za-z0-9.:-]+")


def message(
    notice: Mapping[str, Any], *, sender: str, to: tuple[str, ...], dashboard: str | None, possible_repeat: bool
) -> EmailMessage:
    """Build the message of a notice. Pure."""
    transition = str(notice["transition"])
    built = EmailMessage(policy=policy.SMTP)
    built["From"] = sender
    built["To"] = ", ".join(to)
    built["Subject"] = f"[{visible(transition).upper()}] {clipped(notice['summary'], SUBJECT_LIMIT)}"
    thread = f"<{incident_key(notice)}@plumbline.invalid>"
    built["References"] = thread
    built["In-Reply-To"] = thread
    built["Auto-Submitted"] = "auto-generated"
    lines = [clipped(notice["summary"], TEXT_LIMIT), ""]
    if possible_repeat:
        lines += [f"({REPEAT})", ""]
    if notice.get("detail"):
        lines += [clipped(notice["detail"], TEXT_LIMIT), ""]
    lines += [f"{name}: {clipped(text, TEXT_LIMIT)}" for name, text in (*facts(notice), *links(dashboard, notice))]
    built.set_content("\n".join(lines) + "\n", cte="quoted-printable")
    return built


class EmailSettings(SenderSettings):
    """People who get e-mail, and the server that sends it.

    Attributes:
        host, port: of the SMTP server.
        security: `starttls`, `tls` from the first byte, or `none`.
        user, password: the login; None for none.
        from_: the address of the sender.
        to: the addresses of the recipients.
    """

    title = "e-mail"
    address_word = "host"
    links = True
    folds = True
    ignores_channel = "to: of alerts.email names the recipients"

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    from_: str = Field(alias="from")
    to: tuple[str, ...] = Field(min_length=1)

    @property
    def address(self) -> str:
        """The host, "" for none."""
        return self.host

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if host and not _HOST.fullmatch(host):
            raise ValueError("write the name of the SMTP server alone: smtp.example.com; user and password are apart")
        return host

    @field_validator("to", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _is_list(cls, to: object) -> object:
        return [to] if isinstance(to, str) else to

    @field_validator("from_", "to")
    @classmethod
    def _are_mailboxes(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for each in (given,) if isinstance(given, str) else given:
            if not _MAILBOX.fullmatch(each):
                raise ValueError(f"{each!r} is not an address; write name@example.com alone")
        return given

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together; write both or none")
        if self.password is not None and self.security == "none":
            raise ValueError("security: none would send the password in plain text; write starttls or tls")
        return self


class _CutOffError(Exception):
    """The server was not reached, or the sender is closed."""


class EmailSender:
    """Sends through one SMTP server, with a connection for each message."""

    def __init__(
        self, settings: EmailSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._settings = settings
        self._dashboard = dashboard
        self._timeout_s = timeout_s
        self._password = settings.password.get_secret_value() if settings.password else ""
        self._scrub = Scrubber([self._password])
        self._guard = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._closed = False

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        built = message(
            notice,
            sender=self._settings.from_,
            to=self._settings.to,
            dashboard=self._dashboard,
            possible_repeat=possible_repeat,
        ).as_bytes()
        under_way = False  # the server may have accepted the message
        try:
            with self._connected() as smtp:
                refused = self._addressed(smtp)
                code, text = smtp.docmd("DATA")
                if code != 354:
                    return self._replied(code, text)
                under_way = True
                smtp.send(re.sub(rb"(?m)^\.", b"..", built) + b".\r\n")  # RFC 5321, section 4.5.2
                code, text = smtp.getreply()
                if code != 250:
                    return self._replied(code, text)
                error = f"not delivered to {', '.join(refused)}" if refused else ""
                return Receipt(outcome="sent", error=error)
        except smtplib.SMTPResponseException as error:
            return self._replied(error.smtp_code, error.smtp_error)
        except smtplib.SMTPNotSupportedError as error:
            return Receipt(outcome="rejected", error=self._scrub(str(error)))
        except (smtplib.SMTPException, OSError, _CutOffError) as error:
            name = type(error).__name__.lstrip("_")
            if under_way:
                return Receipt(outcome="ambiguous", error=f"no reply ({name})")
            return Receipt(outcome="refused", error=f"no session ({name})")

    def _addressed(self, smtp: smtplib.SMTP) -> list[str]:
        """Name the sender and the recipients; returns the recipients that the server does not take."""
        code, text = smtp.mail(self._settings.from_)
        if code != 250:
            raise smtplib.SMTPResponseException(code, text)
        refused: dict[str, tuple[int, bytes]] = {}
        for each in self._settings.to:
            code, text = smtp.rcpt(each)
            if code not in {250, 251}:
                refused[each] = (code, text)
        if len(refused) == len(self._settings.to):
            code, text = min(refused.values())  # a temporary refusal counts more
            raise smtplib.SMTPResponseException(code, text)
        return list(refused)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        port = settings.port or PORTS[settings.security]
        connection = socket.create_connection((settings.host, port), timeout=self._timeout_s)
        with self._cut_at_deadline(connection):
            context = ssl.create_default_context()
            if settings.security == "tls":
                connection = context.wrap_socket(connection, server_hostname=settings.host)
            smtp = _Smtp(connection, settings.host, self._timeout_s)
            try:
                smtp.ehlo_or_helo_if_needed()
                if settings.security == "starttls":
                    smtp.starttls(context=context)
                    smtp.ehlo()
                if settings.user is not None:
                    smtp.login(settings.user, self._password)
                yield smtp
                with suppress(smtplib.SMTPException, OSError):
                    smtp.quit()
            finally:
                smtp.close()

    @contextmanager
    def _cut_at_deadline(self, connection: socket.socket) -> Iterator[None]:
        # A copy of the descriptor ends the session whatever TLS has been put around the connection.
        copy = connection.dup()
        timer = threading.Timer(self._timeout_s, _shut, [copy])
        timer.daemon = True
        with self._guard:
            if self._closed:
                copy.close()
                connection.close()
                raise _CutOffError
            self._sockets.add(copy)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._guard:
                self._sockets.discard(copy)
            copy.close()

    def _replied(self, code: int, text: bytes | str) -> Receipt:
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        error = f"SMTP {code}: {self._scrub(' '.join(said.split()))[:100]}"
        return Receipt(outcome="rejected" if 500 <= code < 600 else "refused", error=error)

    def close(self) -> None:
        with self._guard:
            self._closed = True
            for each in self._sockets:
                _shut(each)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Smtp(smtplib.SMTP):
    """A session over a connection that exists."""

    def __init__(self, connection: socket.socket, host: str, timeout_s: float) -> None:
        super().__init__(timeout=timeout_s)
        self._host = host  # the name that STARTTLS verifies
        self.sock = connection
        self.file = None
        code, text = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
