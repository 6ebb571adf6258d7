"""The same records in every kind of system, so that one suite can hold every probe to its contract."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import sqlalchemy as sa
from pymongo import MongoClient

from probes.contract import ReadSpec, RecordProbe
from probes.queue_contract import Letter, QueueProbe
from probes.records.hubspot.probe import HubSpotProbe
from probes.records.hubspot.settings import HubSpotSettings
from probes.records.mongodb.probe import MongoDbProbe
from probes.records.mongodb.settings import MongoDbSettings
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.records.salesforce import bulk
from probes.records.salesforce.probe import SalesforceProbe
from probes.records.salesforce.settings import SalesforceSettings
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from probes.records.stripe.probe import StripeProbe
from probes.records.stripe.settings import StripeSettings
from probes.settings import Budget
from tests.attacks import messages
from tests.standins.clock import Clock
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot, Property
from tests.standins.mongodb import MongoServer
from tests.standins.salesforce import APP, Field, Salesforce
from tests.standins.salesforce.schema import AFTER, BEFORE, SObject
from tests.standins.stripe import Stripe

Record = tuple[int | None, str | None, str]
"""id, name, changed at (ISO, UTC)."""

SPEC = ReadSpec(
    data_type="thing", collection="things", key="id", changed_at="changed_at", fields=("name",), zone="UTC"
)
TIMEOUT_S = 1.0
"""The deadline of a probe whose line is broken; every other has `PATIENT_S`, however slow the machine is."""

PATIENT_S = 30.0


def timeout_s(port: int | None) -> float:
    """The deadline of a probe, by whether it reads through another port."""
    return PATIENT_S if port is None else TIMEOUT_S


class Harness(ABC):
    """One kind of system, filled with records."""

    port: int
    spec: ReadSpec = SPEC
    tells_duplicates = True

    @abstractmethod
    def fill(self, records: Sequence[Record]) -> None:
        """Put exactly these records there."""

    @abstractmethod
    def mark_deleted(self, identity: int) -> None:
        """Let the system keep a record and mark it as deleted."""

    @property
    def flagged(self) -> ReadSpec:
        """The spec of a data type whose deleted records are marked."""
        return replace(self.spec, fields=(*self.spec.fields, "gone"), deleted="gone")

    @abstractmethod
    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        """Open a probe, through another port or with another password where asked."""

    @abstractmethod
    def close(self) -> None:
        """Release what was started."""


class SqlHarness(Harness):
    """A database; `key_type` makes the key column of another type."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self.port = self._url.port or 0
        driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
        self.engine = sa.create_engine(self._url.set(drivername=driver[self._url.get_backend_name()]))
        stamp = {
            "postgresql": "timestamptz",
            "mariadb": "datetime(6)",
            "sqlite": "text",
        }[self._url.get_backend_name()]
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(
                    f"CREATE TABLE things (id bigint, name varchar(100), changed_at {stamp}, "
                    "note varchar(9), gone boolean)"
                )
            )
            connection.execute(sa.text("CREATE INDEX things_id ON things (id)"))

    def fill(self, records: Sequence[Record]) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM things"))
            for identity, name, at in records:
                connection.execute(
                    sa.text("INSERT INTO things (id, name, changed_at) VALUES (:i, :n, :c)"),
                    {"i": identity, "n": name, "c": self._stamp(at)},
                )

    def mark_deleted(self, identity: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE things SET gone = true WHERE id = :i"), {"i": identity})

    def _stamp(self, at: str) -> Any:
        parsed = datetime.fromisoformat(at).astimezone(UTC)
        if self._url.get_backend_name() == "sqlite":
            return parsed.strftime("%Y-%m-%d %H:%M:%S.%f")
        return parsed if self._url.get_backend_name() == "postgresql" else parsed.replace(tzinfo=None)

    def settings(self, *, port: int | None = None, secret: str | None = None) -> SqlSettings:
        """Those of a probe."""
        url = self._url
        if port is not None:
            url = url.set(port=port)
        if secret is not None:
            url = url.set(password=secret)
        return SqlSettings(
            kind="sql",
            url=url.render_as_string(hide_password=False),
            zone="UTC",
            budget=Budget(timeout_s=timeout_s(port), connections=2),
        )

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        return SqlProbe(self.settings(port=port, secret=secret))

    def close(self) -> None:
        self.engine.dispose()


class RestHarness(Harness):
    """An HTTP API that answers JSON, with a bearer token, pages of at most 3 and 404 for what is absent."""

    TOKEN = "right-token"
    PAGE = 3

    def __init__(self, *, batch: bool) -> None:
        self._records: list[Record] = []
        self._gone: set[int] = set()
        self.hold = threading.Event()
        harness = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                harness.answer(self)

            def do_HEAD(self) -> None:
                harness.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        binding = RestBinding.model_validate(
            {
                "collection": "things",
                "key": "id",
                "changed_at": "changed_at",
                "records": "$.data[*]",
                "one": None if batch else "/{collection}/{key}",
                "many": "/{collection}?ids={keys}" if batch else None,
                "list": "/{collection}?after={after}&limit={limit}",
                "changed": "/{collection}?since={since}&limit={limit}",
            }
        )
        self.spec = replace(SPEC, options=binding.options())

    def fill(self, records: Sequence[Record]) -> None:
        self._records = list(records)
        self._gone = set()

    def mark_deleted(self, identity: int) -> None:
        self._gone.add(identity)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        asked = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        parts = asked.path.strip("/").split("/")
        status = 200
        document: Any = None
        known: list[dict[str, Any]] = [
            {"id": identity, "name": name, "changed_at": at, "gone": identity in self._gone}
            for identity, name, at in self._records
        ]
        if request.headers.get("Authorization") != f"Bearer {self.TOKEN}":
            status, document = 401, {"error": "who are you?"}
        elif parts[0] != "things":
            status, document = 404, {"error": "no such collection"}
        elif len(parts) == 2:
            found = [record for record in known if str(record["id"]) == parts[1]]
            status, document = (200, found[0]) if found else (404, {"error": "no such thing"})
        elif "ids" in query:
            wanted = set(query["ids"].split(","))
            document = {"data": [record for record in known if str(record["id"]) in wanted]}
        elif "since" in query:
            since = query["since"].replace("Z", "+00:00")
            found = sorted((r for r in known if r["changed_at"] >= since), key=lambda r: str(r["changed_at"]))
            document = {"data": found[: min(self.PAGE, int(query["limit"]))]}
        else:
            after = int(query["after"]) if query.get("after") else -1
            found = sorted(
                (r for r in known if r["id"] is not None and r["id"] > after), key=lambda r: int(r["id"] or 0)
            )
            document = {"data": found[: min(self.PAGE, int(query["limit"]))]}
        body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        settings = RestSettings.model_validate(
            {
                "kind": "rest",
                "url": f"http://127.0.0.1:{port or self.port}",
                "headers": {"Authorization": f"Bearer {secret or self.TOKEN}"},
                "budget": {"timeout": timeout_s(port)},
            }
        )
        return RestProbe(settings)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class SalesforceHarness(Harness):
    """An org of the stand-in with one more object, whose key is an External Id.

    Args:
        by_job: its keys are listed by query jobs, however few there are.
    """

    THINGS = SObject(
        name="things",
        prefix="a99",
        fields=(*BEFORE, Field(name="number", type="double", external_id=True), Field(name="name"), *AFTER),
    )
    spec = replace(SPEC, key="number", changed_at="SystemModstamp")

    def __init__(self, *, by_job: bool = False) -> None:
        self._limits = (bulk.WORTHWHILE, bulk.LEAST_LIMIT, bulk.FIRST_PAUSE_S)
        if by_job:
            bulk.WORTHWHILE, bulk.LEAST_LIMIT, bulk.FIRST_PAUSE_S = 1, 1, 0.01
        self._org = Salesforce()
        self._org.store.objects["things"] = self.THINGS
        self.port = int(self._org.url.rpartition(":")[2])

    def fill(self, records: Sequence[Record]) -> None:
        for known in list(self._org.store.scan(self.THINGS)):
            self._org.delete(known["Id"], purge=True)
        for identity, name, at in records:
            self._org.clock.stand_at(datetime.fromisoformat(at))
            self._org.put("things", {"number": identity, "name": name})
        self._org.clock.stand_at(None)

    def mark_deleted(self, identity: int) -> None:
        self._org.delete(next(each["Id"] for each in self._org.store.scan(self.THINGS) if each["number"] == identity))

    @property
    def flagged(self) -> ReadSpec:
        return replace(self.spec, fields=(*self.spec.fields, "IsDeleted"), deleted="IsDeleted")

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        settings = SalesforceSettings.model_validate(
            {
                "kind": "salesforce",
                "url": f"http://127.0.0.1:{port or self.port}",
                "client_id": APP.client_id,
                "client_secret": secret or APP.client_secret,
                "budget": {"timeout": timeout_s(port)},
            }
        )
        return SalesforceProbe(settings)

    def close(self) -> None:
        bulk.WORTHWHILE, bulk.LEAST_LIMIT, bulk.FIRST_PAUSE_S = self._limits
        self._org.close()


class StripeHarness(Harness):
    """An account of the stand-in: customers by their ids, or by their e-mail addresses, which several may share.

    Its lists begin with the newest, so that what was changed first is made last.
    """

    KEY = "rk_test_standin0000000000000000beef"

    def __init__(self, *, by_id: bool) -> None:
        self._account = Stripe(clock=Clock())
        self._account.add_key(self.KEY)
        self._account.kept = timedelta(days=36_500)
        self._account.each_operation = self._account.everything.most = 1_000
        self.port = self._account.port
        self.tells_duplicates = not by_id
        self._by_id = by_id
        self.spec = replace(
            SPEC,
            collection="customers",
            key="id" if by_id else "email",
            changed_at="event.created",
            marks_records=False,
        )

    def fill(self, records: Sequence[Record]) -> None:
        self._account.forget()
        first = datetime.fromisoformat(records[0][2]) - timedelta(hours=1)
        self._account.clock.stand_at(first)
        made = {}
        for at, (identity, name, _) in sorted(enumerate(records), reverse=True):
            given = {"id": str(identity)} if self._by_id else {"email": str(identity)}
            made[at] = self._account.create("customer", name=name, **given)
        for at, (_, name, changed_at) in enumerate(records):
            self._account.clock.stand_at(datetime.fromisoformat(changed_at))
            self._account.update("customer", made[at], name=name)
        self._account.clock.stand_at(None)
        self._made = {identity: made[at] for at, (identity, _, _) in enumerate(records)}

    def mark_deleted(self, identity: int) -> None:
        self._account.update("customer", self._made[identity], delinquent=True)

    @property
    def flagged(self) -> ReadSpec:
        return replace(self.spec, fields=(*self.spec.fields, "delinquent"), deleted="delinquent")

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        settings = StripeSettings.model_validate(
            {
                "kind": "stripe",
                "key": secret or self.KEY,
                "url": f"http://127.0.0.1:{port or self.port}",
                "budget": {"timeout": timeout_s(port)},
            }
        )
        return StripeProbe(settings)

    def close(self) -> None:
        self._account.close()


class HubSpotHarness(Harness):
    """An account of the stand-in with a custom type, whose key is a unique property, and a search that lags.

    What is filled in is long past, so that the search knows it; what is changed after that, it learns later.
    """

    LAG_S = 30
    tells_duplicates = False
    spec = replace(SPEC, key="number", changed_at="hs_lastmodifieddate")

    def __init__(self) -> None:
        self._account = HubSpot()
        self._of = self._account.add_type(
            "things",
            [
                Property(name="number", type="number", unique=True),
                Property(name="name"),
                Property(name="gone", type="bool"),
            ],
        )
        self._account.searches.most = 1_000  # a test's reads are not an account's
        self.port = self._account.port

    def fill(self, records: Sequence[Record]) -> None:
        with self._account.changing():
            self._account.records(self._of).clear()
        self._ids: dict[int, str] = {}
        for identity, name, at in records:
            self._account.clock.stand_at(datetime.fromisoformat(at))
            made = self._account.create(self._of, number=None if identity is None else str(identity), name=name)
            self._ids |= {} if identity is None else {identity: made}
        self._account.clock.stand_at(None)
        self._account.index_lag_s = self.LAG_S

    def mark_deleted(self, identity: int) -> None:
        self._account.update(self._of, self._ids[identity], gone="true")

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        settings = HubSpotSettings.model_validate(
            {
                "kind": "hubspot",
                "url": f"http://127.0.0.1:{port or self.port}",
                "token": secret or PRIVATE_APP_TOKEN,
                "budget": {"timeout": timeout_s(port)},
            }
        )
        return HubSpotProbe(settings)

    def close(self) -> None:
        self._account.close()


class MongoDbHarness(Harness):
    """A collection whose records have a number of their own beside the `_id` that MongoDB gives them."""

    def __init__(self, url: str) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(url)
        self._url = url
        self.port = int(url.partition("@")[2].partition(":")[2].partition("/")[0])
        self._name = f"t{uuid4().hex[:12]}"
        self._things = self._client[self._name]["things"]
        self._things.create_index("id")

    def fill(self, records: Sequence[Record]) -> None:
        self._things.delete_many({})
        for identity, name, at in records:
            stamped = {"name": name, "changed_at": datetime.fromisoformat(at)}
            self._things.insert_one(stamped if identity is None else {"id": identity, **stamped})

    def mark_deleted(self, identity: int) -> None:
        self._things.update_one({"id": identity}, {"$set": {"gone": True}})

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        url = self._url.replace(f":{self.port}/", f":{port or self.port}/{self._name}")
        if secret is not None:
            url = url.replace("secret-of-t", secret)
        settings = {"kind": "mongodb", "url": f"{url}&authSource=admin", "budget": {"timeout": timeout_s(port)}}
        return MongoDbProbe(MongoDbSettings.model_validate(settings))

    def close(self) -> None:
        self._client.drop_database(self._name)
        self._client.close()


class MongoDbStreamHarness(Harness):
    """A collection whose changes are found by its change stream, of our own stand-in: FerretDB has none."""

    spec = replace(SPEC, options={"changes": "stream"})

    def __init__(self) -> None:
        self._server = MongoServer()
        self.port = self._server.port

    def fill(self, records: Sequence[Record]) -> None:
        self._server.collections["things"] = []
        self._server.oplog.entries.clear()
        for number, (identity, name, at) in enumerate(records):
            document = {"_id": number, "id": identity, "name": name, "changed_at": datetime.fromisoformat(at)}
            self._server.write("things", "insert", document, datetime.fromisoformat(at))

    def mark_deleted(self, identity: int) -> None:
        (number,) = (each["_id"] for each in self._server.collections["things"] if each["id"] == identity)
        self._server.write("things", "update", {"_id": number, "gone": True})

    def probe(self, *, port: int | None = None, secret: str | None = None) -> RecordProbe:
        login = f"auditor:{secret}@" if secret is not None else ""
        url = f"mongodb://{login}127.0.0.1:{port or self.port}/{self._server.name}?directConnection=true"
        settings = {"kind": "mongodb", "url": url, "budget": {"timeout": timeout_s(port)}}
        return MongoDbProbe(MongoDbSettings.model_validate(settings))

    def close(self) -> None:
        self._server.close()


def all_letters(probe: QueueProbe) -> tuple[int | None, list[Letter]]:
    """The depth of a queue and all its letters; a look ends when its time is over, and the next one goes on."""
    letters: list[Letter] = []
    after: str | None = None
    while True:
        reading = probe.read(1_000, after)
        letters += reading.letters
        after = reading.next
        if not reading.truncated:
            return reading.depth, letters


def assert_told(names: Iterable[str], letters: Iterable[Letter]) -> None:
    """Of each attack whose key is at `$.id`, the letter tells what cannot be read, and nothing of the others."""
    for name, letter in zip(names, letters, strict=False):
        assert messages.UNREADABLE.get(name, "") in letter.unreadable, name
        assert (letter.unreadable == "") == (name not in messages.UNREADABLE), name
