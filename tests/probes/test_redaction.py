"""No secret leaves a probe: every kind of system, every form of a secret, every place where a text comes out."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.cli.options import VisibleFormatter, load
from probes import registry
from probes.contract import ProbeError, ReadSpec
from probes.records.rest.settings import RestBinding
from probes.secrets import Scrubber, parameters_of, secrets_in, without_parameters
from tests.attacks.secrets import FORMS, SECRETS, SHORT

URLS = {
    "postgresql": "postgresql://someone:{}@h/db",
    "mariadb": "mariadb://someone:{}@h/db",
    "rest": "https://someone:{}@h/v1",
    "rabbitmq": "https://someone:{}@h",
    "nats": "nats://someone:{}@h",
    "redis": "redis://someone:{}@h",
}
QUEUES: dict[str, dict[str, Any]] = {
    "rabbitmq": {"queue": "q"},
    "nats": {"stream": "s"},
    "redis": {"name": "q"},
    "sqs": {"queue_url": "https://h/1/q", "access_key": "someone", "secret_key": "{}", "region": "r"},
    "anypoint_mq": {
        **{name: "x" for name in ("organization", "environment", "region", "queue")},
        "client_id": "someone",
        "client_secret": "{}",
    },
    "kafka": {"servers": "h:1", "topic": "t", "security": "sasl_plaintext", "user": "someone", "password": "{}"},
    "service_bus": {
        "connection": "Endpoint=sb://h/;SharedAccessKeyName=someone;SharedAccessKey={}",
        "queue": "q",
    },
}
KINDS = ["postgresql", "mariadb", "rest", "rest by header", "rest by parameter", *QUEUES]


def settings_of(kind: str, secret: str) -> Any:
    """The settings of a system or a queue with a secret in it."""
    if kind == "rest by header":
        made: dict[str, Any] = {"kind": "rest", "url": "https://h", "headers": {"X-Key": f"Bearer {secret}"}}
        return registry.record_settings("rest").model_validate(made)
    if kind == "rest by parameter":
        made = {"kind": "rest", "url": f"https://h?access_token={quote(secret, safe='')}"}
        return registry.record_settings("rest").model_validate(made)
    words = {"url": URLS[kind].format(quote(secret, safe=""))} if kind in URLS else {}
    if kind in QUEUES:
        words |= {name: value.replace("{}", secret) for name, value in QUEUES[kind].items()}
        return registry.queue_settings(kind).model_validate({"kind": kind, **words})
    name = "rest" if kind == "rest" else "sql"
    return registry.record_settings(name).model_validate({"kind": name, **words})


def pieces(told: str) -> set[str]:
    """What must not be left: every four signs in a row of a form."""
    return {told[at : at + 4].casefold() for at in range(len(told) - 3) if told[at : at + 4].isalnum()}


def twelves(told: str) -> list[str]:
    """Every twelve signs in a row, and all of what is shorter."""
    return [told[at : at + 12] for at in range(max(1, len(told) - 11))]


def assert_hidden(told: str, secret: str, form: str) -> None:
    kept = pieces(secret) & pieces(told)
    assert not kept, (form, told)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_form_of_a_secret_is_left(kind: str, form: str) -> None:
    for secret in SECRETS.values():
        if kind == "service_bus" and not secret.isascii():
            continue  # its keys are base64
        scrub = Scrubber.of(settings_of(kind, secret))
        written = FORMS[form](secret)
        middle = "cut at the end" not in form
        told = scrub(f"refused: {written}" + (" (by the server)" if middle else ""))
        encoded = "64" in form or "Basic" in form or "SASL" in form or "hexadecimal" in form
        if encoded:
            whole = written.removeprefix("Basic ").rstrip("=")
            whole = whole[12:] if form in {"SASL", "Bearer in base64"} else whole  # behind the user, or the scheme
            assert not [piece for piece in twelves(whole) if piece in told], (form, told)
        assert_hidden(told, secret, form)


@pytest.mark.parametrize("secret", SHORT)
def test_a_short_secret_is_hidden_as_a_word(secret: str) -> None:
    scrub = Scrubber.of(settings_of("postgresql", secret))
    assert scrub(f"no login with {secret}, {FORMS['Basic'](secret)}").count("***") == 2


@contextlib.contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server that runs until the end."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Echo(BaseHTTPRequestHandler):
    """Answers an error that says what it was sent, in one form."""

    form: Callable[[str], str] = str
    limit = 100_000

    def do_GET(self) -> None:
        sent = [self.path, *(f"{name}: {value}" for name, value in self.headers.items() if name in SENT)]
        body = " ".join(type(self).form(each) for each in sent).encode("utf-8", "replace")[: self.limit]
        self.send_response(int(self.headers.get("X-Status", "400")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


SENT = ("Authorization", "X-Key")
Echoing = tuple[type[Echo], Any, ReadSpec]
TOKEN = "tpl-T0ken/8+a.Zz"
HEADER = "hdr-K3y=Vq77"
PASSWORD = SECRETS["reserved"]


@pytest.fixture
def echo() -> Iterator[Echoing]:
    handler = type("OneEcho", (Echo,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with served(server) as url:
        address = url.replace("//", f"//someone:{quote(PASSWORD, safe='')}@") + "/v1?api_key=urlK3y%2FQw"
        settings = registry.record_settings("rest").model_validate(
            {"kind": "rest", "url": address, "headers": {"X-Key": HEADER}}
        )
        token = quote(TOKEN, safe="")
        binding = RestBinding.model_validate(
            {"collection": "c", "key": "id", "one": f"/c/{{key}}?token={token}", "list": f"/c?access_token={token}"}
        )
        probe = registry.open_record_probe(settings)
        spec = ReadSpec(
            data_type="t", collection="c", key="id", changed_at=None, fields=(), options=binding.options()
        )
        yield handler, probe, spec
        probe.close()


@pytest.mark.parametrize("form", ["plain", "percent", "JSON", "HTML", "base64", "hexadecimal", "capitals"])
def test_a_server_that_echoes_what_it_was_sent_tells_nobody(
    echo: tuple[type[Echo], Any, ReadSpec], form: str
) -> None:
    handler, probe, spec = echo
    handler.form = staticmethod(FORMS[form])
    for limit in (100_000, *range(20, 200, 7)):
        handler.limit = limit
        asks: list[Callable[[], object]] = [lambda: probe.fetch(spec, ["7"]), lambda: probe.page(spec, None, 3)]
        for ask in asks:
            with pytest.raises(ProbeError) as failed:
                ask()
            told = str(failed.value)
            for secret in (TOKEN, HEADER, PASSWORD, "urlK3y/Qw"):
                assert_hidden(told.replace("token", "").replace("TOKEN", ""), secret.replace("token", ""), form)


def test_the_place_in_a_list_keeps_no_token_of_a_template() -> None:
    class Listing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = {"items": [{"id": self.path[-1]}], "next": f"{self.path}&page={len(seen)}"}
            seen.append(self.path)
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    seen: list[str] = []
    with served(ThreadingHTTPServer(("127.0.0.1", 0), Listing)) as url:
        settings = registry.record_settings("rest").model_validate({"kind": "rest", "url": url})
        binding = RestBinding.model_validate(
            {
                "collection": "c",
                "key": "id",
                "one": "/c/{key}",
                "list": f"/c?token={quote(TOKEN, safe='')}",
                "records": "$.items[*]",
                "next": "$.next",
            }
        )
        spec = ReadSpec(
            data_type="t", collection="c", key="id", changed_at=None, fields=(), options=binding.options()
        )
        probe = registry.open_record_probe(settings)
        first = probe.page(spec, None, 1)
        assert first.next is not None
        assert "T0ken" not in first.next
        probe.close()
        again = registry.open_record_probe(settings)  # after a restart
        again.page(spec, first.next, 1)
        again.close()
    assert seen[1] == f"{seen[0]}&page=0"


MAP = """\
systems:
  crm: {{kind: sql, url: "postgresql://someone:{password}@127.0.0.1:1/db", zone: UTC}}
  shop:
    kind: rest
    url: "http://someone:{password}@127.0.0.1:1/v1?api_key={token}"
    headers: {{X-Key: "{header}"}}
data_types:
  customer:
    owner: crm
    window: 30s
    fields: {{email: {{type: string}}}}
    in:
      crm: {{collection: customers, key: id}}
      shop:
        collection: customers
        key: id
        one: "/customers/{{key}}?token={token}"
        many: {{read_only_post: "/search?signature={token}", body: {{api_key: "{token}", ids: "{{keys}}"}}}}
        list: "/customers?access_token={token}&limit={{limit}}"
flows:
  f:
    data_type: customer
    from: crm
    to: shop
    pattern: real-time
    queues: {{dead: {{kind: rabbitmq, url: "http://someone:{password}@127.0.0.1:1", queue: q}}}}
alerts: {{webhook: {{url: "https://hooks.example/{token}"}}}}
"""


def written(place: Path, name: str, change: str = "") -> Path:
    words = {
        "password": quote(PASSWORD + change, safe=""),
        "token": quote(TOKEN + change, safe=""),
        "header": HEADER + change,
    }
    (place / name).write_text(MAP.format(**words))
    return place / name


@pytest.mark.parametrize(
    "command",
    [
        "check",
        "check --json",
        "map",
        "map --json",
        "map --diff {other}",
        "map --diff {other} --json",
        "map --diff {less}",
        "review",
        "review --json",
        "doctor",
        "doctor --json",
        "once --wait 1s",
        "once --wait 1s --json",
        "record customer 7",
        "record customer 7 --json",
        "discover crm shop",
    ],
)
def test_no_command_tells_a_secret_of_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "map.yaml")
    written(tmp_path, "other.yaml", "Qq1")
    less = (tmp_path / "map.yaml").read_text().replace("        many:", "        #")
    (tmp_path / "less.yaml").write_text(less)
    words = command.format(other="other.yaml", less="less.yaml").split()
    told = CliRunner().invoke(app, [words[0], "--map", "map.yaml", *words[1:]])
    assert told.output
    for secret in ("T0ken", "K3y=Vq", "Zw0lf", "Boxk4mpfer", "V1ktor"):
        assert secret.casefold() not in told.output.casefold(), told.output


def test_a_mistake_in_a_template_tells_no_token(tmp_path: Path) -> None:
    file = written(tmp_path, "map.yaml")
    file.write_text(file.read_text().replace("/customers/{key}?", "/customers?"))
    told = CliRunner().invoke(app, ["check", "--map", str(file)]).output
    assert "one needs {key}, got '/customers?token=***'" in told
    assert "T0ken" not in told


@pytest.mark.parametrize(
    "logger", ["httpx", "urllib3.connectionpool", "nats.aio.client", "botocore", "azure", "sqlalchemy.engine"]
)
def test_what_a_library_logs_tells_no_secret(tmp_path: Path, logger: str) -> None:
    load(written(tmp_path, "map.yaml"))
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(VisibleFormatter("%(levelname)s %(message)s"))
    log = logging.getLogger(logger)
    log.addHandler(handler)
    try:
        try:
            try:
                raise ValueError(f"login {PASSWORD}")
            except ValueError as error:
                raise RuntimeError(f"no answer to {FORMS['Basic'](PASSWORD)}") from error
        except RuntimeError:
            log.critical("GET https://h/v1?api_key=%s %s", quote(TOKEN, safe=""), HEADER, exc_info=True)
    finally:
        log.removeHandler(handler)
    told = lines.getvalue()
    assert "RuntimeError" in told
    assert "ValueError" in told
    for secret in (TOKEN, HEADER, PASSWORD):
        assert_hidden(told, secret, logger)


@pytest.mark.parametrize(
    ("template", "shown", "secret"),
    [
        ("/c/{key}?token=abcd%2Fe&x=1", "/c/{key}?token=***&x=1", ["abcd%2Fe", "abcd/e"]),
        ("/c?key={key}&limit={limit}", "/c?key={key}&limit={limit}", []),
        ("/c?monkey=x&keys={keys}", "/c?monkey=x&keys={keys}", []),
        ("/c?X-Api_Key=abcde", "/c?X-Api_Key=***", ["abcde"]),
        ("/c?client%5Fsecret=abcde&password=", "/c?client%5Fsecret=***&password=", ["abcde"]),
        ("/c?token=T0kenAbcd&id={key}", "/c?token=***&id={key}", ["T0kenAbcd"]),
        ("/c?auth=T0kenAbcd:{key}", "/c?auth=***{key}", ["T0kenAbcd:"]),
        ("/c?author=name:{key}", "/c?author=name:{key}", []),
        ("/c", "/c", []),
    ],
)
def test_parameters_are_secrets_by_their_names(template: str, shown: str, secret: list[str]) -> None:
    assert without_parameters(template) == shown
    assert parameters_of(template) == secret


@pytest.mark.parametrize(
    "template",
    ["/c?token=T0kenAbcd&id={key}", {"path": "/c", "body": {"api_key": "T0kenAbcd"}}, {"api_key": "T0kenAbcd {key}"}],
)
def test_a_short_template_that_ends_with_a_place_has_its_secrets_too(template: object) -> None:
    assert {each.strip() for each in secrets_in(template)} == {"T0kenAbcd"}


@pytest.mark.parametrize("outer", ["percent", "percent twice", "JSON", "HTML in decimal", "base64", "hexadecimal"])
def test_one_notation_within_another_hides_nothing(outer: str) -> None:
    for secret in SECRETS.values():
        scrub = Scrubber([secret])
        told = scrub(f"refused {FORMS[outer](json.dumps({'password': secret})[1:-1])} by the server")
        whole = FORMS[outer](json.dumps(secret)[1:-1])
        assert not [piece for piece in twelves(whole) if piece[0].isalnum() and piece in told], told


def test_words_that_a_secret_has_by_chance_are_left() -> None:
    scrub = Scrubber(["correct-horse-battery", "auditor"])
    assert scrub("the horse ate the battery") == "the horse ate the battery"
    assert scrub("at correct-horse-b (cut) and rse-battery, or horse") == "at *** (cut) and ***, or horse"


def test_the_scheme_of_an_address_is_an_ordinary_word() -> None:
    scrub = Scrubber.of_address("sqlite:///crm.sqlite", "sqlite:///crm.sqlite", "https://hooks.example.com/T0/B1")
    for text in ("there is no file /srv/crm.sqlite", "speak https", "no file /srv/crm.sqlite: sqlite"):
        assert scrub(text) == text
    assert scrub("cut at https://hooks.exa") == "cut at ***"
