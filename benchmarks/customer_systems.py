"""Six systems that hold one kind of customer, for `benchmarks.one_customer`, and the map between them.

Salesforce, Stripe and HubSpot are the stand-ins of `tests.standins`, with state, limits and a search index that lags.
MongoDB's protocol is spoken by FerretDB. MariaDB and PostgreSQL are themselves. Each system counts on its own side
what the auditor sends to it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pymysql
import sqlalchemy as sa
from psycopg import sql
from pymongo import MongoClient

from tests import servers
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.salesforce import APP, Field, Salesforce
from tests.standins.stripe import Stripe

SPEED, DAY_SPEED = 15, 60
"""Windows of seconds stand for minutes here, so a day's calls are as many times more. Limits of a second are raised
fifteenfold only, which is enough for two sweeps to end in time."""

SEARCH_LAG_S = 3.0
LONG_AGO = timedelta(days=60)
RESTRICTED_KEY = "rk_live_standin0000000000000000beef"
AUDITOR = "auditor"
PASSWORD = "secret-of-the-auditor"
DIGITS = {"EUR": 2, "USD": 2, "JPY": 0}
COLUMNS = ("name", "email", "phone", "status", "signed_at")
MONEY = ("plan", "balance", "currency")
AUDITS_IN_A_WINDOW = 5
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOf:
    """A flow of the map.

    Attributes:
        fields: what its owner owns.
    """

    owner: str
    target: str
    fields: tuple[str, ...]

    @property
    def windows(self) -> int:
        """How many of the shortest windows its own is.

        Stripe and HubSpot list changes late, and FerretDB reads the whole collection for each list of keys.
        """
        return 1 if self.owner == "salesforce" and self.target != "mongodb" else 2


FLOWS = {
    "to_stripe": FlowOf(owner="salesforce", target="stripe", fields=COLUMNS[:4]),
    "to_hubspot": FlowOf(owner="salesforce", target="hubspot", fields=COLUMNS),
    "to_mongodb": FlowOf(owner="salesforce", target="mongodb", fields=COLUMNS),
    "to_mariadb": FlowOf(owner="salesforce", target="mariadb", fields=COLUMNS),
    "to_postgresql": FlowOf(owner="salesforce", target="postgresql", fields=COLUMNS),
    "money_to_salesforce": FlowOf(owner="stripe", target="salesforce", fields=MONEY),
    "money_to_mongodb": FlowOf(owner="stripe", target="mongodb", fields=MONEY),
    "money_to_mariadb": FlowOf(owner="stripe", target="mariadb", fields=MONEY),
    "consent_to_postgresql": FlowOf(owner="hubspot", target="postgresql", fields=("consent",)),
}

MAP = """\
systems:
  salesforce:
    kind: salesforce
    url: ${SALESFORCE_URL}
    client_id: ${SALESFORCE_ID}
    client_secret: ${SALESFORCE_SECRET}
    clock_slack: 1s
    budget: {calls_per_s: 50, calls_per_day: 6000000, records_per_s: 20000, connections: 4, timeout: 20s}
  stripe:
    kind: stripe
    url: ${STRIPE_URL}
    key: ${STRIPE_KEY}
    clock_slack: 2s
    budget: {calls_per_s: 300, records_per_s: 20000, connections: 8, timeout: 20s}
  hubspot:
    kind: hubspot
    url: ${HUBSPOT_URL}
    token: ${HUBSPOT_TOKEN}
    delay_floor: 5s
    budget: {calls_per_s: 180, records_per_s: 20000, connections: 4, timeout: 20s}
  mongodb:
    kind: mongodb
    url: ${MONGODB_URL}
    budget: {records_per_s: 20000, timeout: 20s}
  mariadb: {kind: sql, url: "${MARIADB_URL}", zone: UTC, budget: {records_per_s: 20000, timeout: 20s}}
  postgresql: {kind: sql, url: "${POSTGRESQL_URL}", zone: UTC, budget: {records_per_s: 20000, timeout: 20s}}
data_types:
  customer:
    owner: salesforce
    window: 10s
    business_key: [email]
    fields:
      name: {type: string}
      email: {type: string}
      phone: {type: string}
      status: {type: enum}
      signed_at: {type: timestamp}
      plan: {type: enum, owner: stripe}
      balance: {type: money, owner: stripe, currency: {from: currency}, minor_units: [stripe, mongodb]}
      currency: {type: string, owner: stripe, casefold: [stripe]}
      consent: {type: boolean, owner: hubspot}
    in:
      salesforce:
        collection: Account
        key: Customer_Number__c
        changed_at: SystemModstamp
        deleted: IsDeleted
        absent: [consent]
        fields:
          name: Name
          email: Email__c
          phone: Phone
          status: Status__c
          signed_at: Signed_At__c
          plan: Plan__c
          balance: Balance__c
          currency: CurrencyIsoCode
      stripe:
        collection: customers
        key: id
        changed_at: event.created
        deleted: deleted
        absent: [signed_at, consent]
        fields: {status: metadata.status, plan: metadata.plan}
      hubspot:
        collection: contacts
        key: customer_number
        changed_at: lastmodifieddate
        absent: [plan, balance, currency]
        fields: {name: full_name, status: customer_status}
      mongodb:
        collection: customers
        key: _id
        deleted: {field: archived, optional: true}
        absent: [consent]
        fields: {name: profile.name, email: profile.email, phone: profile.phone}
      mariadb:
        collection: customers
        key: id
        deleted: {field: deleted_at, is: not null}
        absent: [consent]
      postgresql:
        collection: customers
        key: id
        deleted: is_deleted
        absent: [plan, balance, currency]
flows:
"""
FLOW = """\
  {name}:
    data_type: customer
    from: {owner}
    to: {target}
    fields: [{fields}]
    pattern: near-real-time
    window: {window:g}s
    every: {every:g}s
    sample: {sample}
    sampling: {{panel: {sample}, recent: 0, past_error: 0}}
"""


class System(Protocol):
    """One of the six."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the map needs to read it."""

    def fill(self, records: Mapping[str, Record]) -> None:
        """Create many records, as if long ago."""

    def create(self, key: str, record: Record) -> None:
        """Create a record."""

    def update(self, key: str, values: Record) -> None:
        """Change some fields of a record."""

    def remove(self, key: str) -> None:
        """Delete a record."""

    def calls(self) -> int:
        """Requests, statements or messages of the auditor so far."""

    @property
    def refused(self) -> int:
        """Responses so far that said that a limit was reached."""


class Crm:
    """The customers as accounts of a Salesforce org."""

    NAMES: Mapping[str, str] = {
        "name": "Name",
        "email": "Email__c",
        "phone": "Phone",
        "status": "Status__c",
        "signed_at": "Signed_At__c",
        "plan": "Plan__c",
        "balance": "Balance__c",
        "currency": "CurrencyIsoCode",
    }

    def __init__(self, org: Salesforce) -> None:
        self._org = org
        self._ids: dict[str, str] = {}
        org.limits.daily *= DAY_SPEED
        for name in ("Email__c", "Status__c", "Plan__c"):
            org.set_field("Account", Field(name=name, length=255))
        org.set_field("Account", Field(name="Signed_At__c", type="datetime"))
        self.environment = {
            "SALESFORCE_URL": org.url,
            "SALESFORCE_ID": APP.client_id,
            "SALESFORCE_SECRET": APP.client_secret,
        }

    def _values(self, record: Record) -> Record:
        return {self.NAMES[name]: value for name, value in record.items() if name in self.NAMES}

    def fill(self, records: Mapping[str, Record]) -> None:
        self._org.clock.stand_at(datetime.now(UTC) - LONG_AGO)
        with self._org.begin() as transaction:
            for key, record in records.items():
                values = {"Customer_Number__c": key, **self._values(record)}
                self._ids[key] = transaction.put("Account", values)
        self._org.clock.stand_at(None)

    def create(self, key: str, record: Record) -> None:
        self._ids[key] = self._org.put("Account", {"Customer_Number__c": key, **self._values(record)})

    def update(self, key: str, values: Record) -> None:
        self._org.update(self._ids[key], self._values(values))

    def remove(self, key: str) -> None:
        self._org.delete(self._ids[key])

    def calls(self) -> int:
        return self._org.calls.total()

    @property
    def refused(self) -> int:
        return max(0, self._org.limits.used - self._org.limits.daily)


class Payments:
    """The customers of a Stripe account."""

    def __init__(self, account: Stripe) -> None:
        self._account = account
        self._records: dict[str, Record] = {}
        account.add_key(RESTRICTED_KEY)
        account.everything.most *= SPEED
        account.each_operation *= SPEED
        self.environment = {"STRIPE_URL": account.url, "STRIPE_KEY": RESTRICTED_KEY}

    def _members(self, record: Record) -> Record:
        return {
            **{name: record[name] for name in ("name", "email", "phone")},
            "balance": minor(record),
            "currency": record["currency"].lower(),
            "metadata": {"status": record["status"], "plan": record["plan"]},
        }

    def fill(self, records: Mapping[str, Record]) -> None:
        self._account.clock.stand_at(datetime.now(UTC) - LONG_AGO)
        for key, record in records.items():
            self.create(key, record)
        self._account.clock.stand_at(None)

    def create(self, key: str, record: Record) -> None:
        self._records[key] = dict(record)
        self._account.create("customer", id=key, **self._members(record))

    def update(self, key: str, values: Record) -> None:
        before = self._members(self._records[key])
        self._records[key] |= values
        after = self._members(self._records[key])
        self._account.update("customer", key, **{name: after[name] for name in after if after[name] != before[name]})

    def remove(self, key: str) -> None:
        self._account.delete("customer", key)

    def calls(self) -> int:
        return self._account.count()

    @property
    def refused(self) -> int:
        return sum(call.status == 429 for call in self._account.calls)


class Marketing:
    """The customers as contacts of a HubSpot account."""

    NAMES: Mapping[str, str] = {
        "name": "full_name",
        "email": "email",
        "phone": "phone",
        "status": "customer_status",
        "signed_at": "signed_at",
        "consent": "consent",
    }

    def __init__(self, account: HubSpot) -> None:
        self._account = account
        self._ids: dict[str, str] = {}
        account.add_property("contacts", "customer_number", unique=True)
        for name, kind in (("full_name", "string"), ("customer_status", "string"), ("consent", "bool")):
            account.add_property("contacts", name, kind)
        account.add_property("contacts", "signed_at", "datetime")
        account.burst.most *= SPEED
        account.searches.most *= SPEED
        self.environment = {"HUBSPOT_URL": account.url, "HUBSPOT_TOKEN": PRIVATE_APP_TOKEN}

    def _values(self, record: Record) -> dict[str, str | None]:
        return {self.NAMES[name]: _text(value) for name, value in record.items() if name in self.NAMES}

    def fill(self, records: Mapping[str, Record]) -> None:
        self._account.clock.stand_at(datetime.now(UTC) - LONG_AGO)
        for key, record in records.items():
            self.create(key, record)
        self._account.clock.stand_at(None)

    def create(self, key: str, record: Record) -> None:
        values = {"customer_number": key, **self._values(record)}
        self._ids[key] = self._account.create("contacts", **values)

    def update(self, key: str, values: Record) -> None:
        self._account.update("contacts", self._ids[key], **self._values(values))

    def remove(self, key: str) -> None:
        self._account.archive("contacts", self._ids[key])

    def calls(self) -> int:
        return self._account.count()

    @property
    def refused(self) -> int:
        return sum(call.status == 429 for call in self._account.calls)


class Shop:
    """The customers as documents behind MongoDB's protocol."""

    def __init__(self, url: str, front: CountingProxy) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(url)
        self._customers = self._client["shop"]["customers"]
        self._front = front
        at = re.sub(r":\d+/", f":{front.port}/shop", url)
        self.environment = {"MONGODB_URL": f"{at}&authSource=admin&directConnection=true"}

    def _document(self, record: Record) -> Record:
        profile = {name: record[name] for name in ("name", "email", "phone")}
        plain = {name: record[name] for name in ("status", "signed_at", "plan", "currency")}
        return {"profile": profile, **plain, "balance": minor(record)}

    def fill(self, records: Mapping[str, Record]) -> None:
        documents = [{"_id": key, **self._document(record)} for key, record in records.items()]
        for at in range(0, len(documents), 1_000):
            self._customers.insert_many(documents[at : at + 1_000])

    def create(self, key: str, record: Record) -> None:
        self._customers.insert_one({"_id": key, **self._document(record)})

    def update(self, key: str, values: Record) -> None:
        profile = ("name", "email", "phone")
        changed = {f"profile.{name}" if name in profile else name: value for name, value in values.items()}
        if "balance" in values:
            changed["balance"] = minor(values)
        self._customers.update_one({"_id": key}, {"$set": changed})

    def unset(self, key: str, name: str) -> None:
        """Take a field away."""
        self._customers.update_one({"_id": key}, {"$unset": {f"profile.{name}": ""}})

    def mark_deleted(self, key: str) -> None:
        """Mark a record as deleted and keep it."""
        self._customers.update_one({"_id": key}, {"$set": {"archived": True}})

    def remove(self, key: str) -> None:
        self._customers.delete_one({"_id": key})

    def calls(self) -> int:
        return self._front.messages

    refused = 0


class Billing:
    """The customers as rows of MariaDB."""

    def __init__(self, url: str) -> None:
        at = sa.make_url(url)
        self._connection = pymysql.connect(
            host=at.host or "", port=at.port or 0, user=at.username, password=str(at.password), autocommit=True
        )
        self._run("CREATE DATABASE billing CHARACTER SET utf8mb4")
        self._connection.select_db("billing")
        self._run(
            "CREATE TABLE customers (id varchar(40) PRIMARY KEY, name varchar(255), email varchar(255), "
            "phone varchar(40), status varchar(20), signed_at datetime(6), plan varchar(20), "
            "balance decimal(14,2), currency char(3), deleted_at datetime(6))"
        )
        self._run("SET GLOBAL userstat = 1")
        self._run(f"CREATE USER '{AUDITOR}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        self._run(f"GRANT SELECT ON billing.* TO '{AUDITOR}'@'127.0.0.1'")
        self.environment = {"MARIADB_URL": f"mariadb://{AUDITOR}:{PASSWORD}@{at.host}:{at.port}/billing"}

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _row(self, key: str, record: Record) -> tuple[Any, ...]:
        return (key, *(_naive(record[name]) for name in (*COLUMNS, *MONEY)))

    def fill(self, records: Mapping[str, Record]) -> None:
        with self._connection.cursor() as cursor:
            rows = [self._row(key, record) for key, record in records.items()]
            cursor.executemany(f"INSERT INTO customers VALUES ({', '.join(['%s'] * 9)}, NULL)", rows)

    def create(self, key: str, record: Record) -> None:
        self._run(f"INSERT INTO customers VALUES ({', '.join(['%s'] * 9)}, NULL)", self._row(key, record))

    def update(self, key: str, values: Record) -> None:
        known = {name: _naive(value) for name, value in values.items()}
        named = ", ".join(f"{name} = %s" for name in known)
        self._run(f"UPDATE customers SET {named} WHERE id = %s", (*known.values(), key))

    def mark_deleted(self, key: str) -> None:
        """Mark a record as deleted and keep it."""
        self._run("UPDATE customers SET deleted_at = utc_timestamp(6) WHERE id = %s", (key,))

    def remove(self, key: str) -> None:
        self._run("DELETE FROM customers WHERE id = %s", (key,))

    def calls(self) -> int:
        counted = "SELECT_COMMANDS + UPDATE_COMMANDS + OTHER_COMMANDS"
        told = self._run(f"SELECT {counted} FROM information_schema.USER_STATISTICS WHERE USER = %s", (AUDITOR,))
        return int(told[0][0]) if told else 0

    refused = 0


class Warehouse:
    """The customers as rows of PostgreSQL."""

    _NAMES = (*COLUMNS, "consent")

    def __init__(self, url: str) -> None:
        with psycopg.connect(f"{url}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE warehouse")
            admin.execute(f"CREATE ROLE {AUDITOR} LOGIN")
            admin.execute(f"ALTER ROLE {AUDITOR} SET log_statement = 'all'")
            admin.execute(f"ALTER ROLE {AUDITOR} SET log_parameter_max_length = 0")
            told = admin.execute("SHOW data_directory").fetchone()
        assert told is not None
        self._log = Path(told[0]).parent / "log"
        self._connection = psycopg.connect(f"{url}/warehouse", autocommit=True)
        self._connection.execute(
            "CREATE TABLE customers (id text PRIMARY KEY, name text, email text, phone text, status text, "
            "signed_at timestamptz, consent boolean, is_deleted boolean NOT NULL DEFAULT false)"
        )
        self._connection.execute(f"GRANT SELECT ON customers TO {AUDITOR}")
        self.environment = {"POSTGRESQL_URL": f"{url.replace('postgres@', f'{AUDITOR}@')}/warehouse"}

    def fill(self, records: Mapping[str, Record]) -> None:
        names = ", ".join(("id", *self._NAMES))
        with self._connection.cursor().copy(f"COPY customers ({names}) FROM STDIN") as copy:
            for key, record in records.items():
                copy.write_row((key, *(record[name] for name in self._NAMES)))
        self._connection.execute("ANALYZE customers")

    def create(self, key: str, record: Record) -> None:
        names = ", ".join(("id", *self._NAMES))
        marks = ", ".join(["%s"] * (1 + len(self._NAMES)))
        values = [key, *(record[name] for name in self._NAMES)]
        self._connection.execute(f"INSERT INTO customers ({names}) VALUES ({marks})", values)

    def update(self, key: str, values: Record) -> None:
        named = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        statement = sql.SQL("UPDATE customers SET {} WHERE id = %s").format(named)
        self._connection.execute(statement, [*values.values(), key])

    def mark_deleted(self, key: str) -> None:
        """Mark a record as deleted and keep it."""
        self._connection.execute("UPDATE customers SET is_deleted = true WHERE id = %s", [key])

    def remove(self, key: str) -> None:
        self._connection.execute("DELETE FROM customers WHERE id = %s", [key])

    def calls(self) -> int:
        with self._log.open("rb") as log:
            return sum(b"LOG:  statement: " in line or b"LOG:  execute " in line for line in log)

    refused = 0


class CountingProxy:
    """Relays to a server that speaks MongoDB's protocol.

    Attributes:
        messages: that clients have sent, those that only keep connections included.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.messages = 0
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for source, sink, counts in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=(source, sink, counts), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        begun = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if counts:
                    begun = self._count(begun + data)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _count(self, data: bytes) -> bytes:
        """Count whole messages, which begin with their length; returns what is left."""
        at = whole = 0
        while len(data) - at >= 4 and len(data) - at >= (length := int.from_bytes(data[at : at + 4], "little")):
            at += length
            whole += 1
        with self._counting:
            self.messages += whole
        return data[at:]

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def minor(record: Record) -> int:
    """The balance in the minor units of its currency."""
    return int(record["balance"] * 10 ** DIGITS[record["currency"]])


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def amount(drawn: int, currency: str) -> Decimal:
    """A balance in a currency."""
    return Decimal(drawn).scaleb(-DIGITS[currency])


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """All six, by their names in the map."""

    by_name: Mapping[str, System]

    @property
    def environment(self) -> dict[str, str]:
        """What the map needs to read them."""
        return {name: value for each in self.by_name.values() for name, value in each.environment.items()}

    def calls(self) -> dict[str, int]:
        """What the auditor has sent to each so far."""
        return {name: each.calls() for name, each in self.by_name.items()}


@contextmanager
def systems() -> Iterator[Systems]:
    """Start the six systems, empty."""
    with ExitStack() as stack:
        org = stack.enter_context(Salesforce(multi_currency=True))
        payments = stack.enter_context(Stripe())
        marketing = stack.enter_context(HubSpot(index_lag_s=SEARCH_LAG_S))
        ferretdb = stack.enter_context(servers.mongodb())
        if ferretdb is None:
            raise RuntimeError("FerretDB is not there: python -m tests.engines fetches it")
        port = re.search(r":(\d+)/", ferretdb)
        assert port is not None
        front = CountingProxy(int(port[1]))
        stack.callback(front.close)
        yield Systems(
            by_name={
                "salesforce": Crm(org),
                "stripe": Payments(payments),
                "hubspot": Marketing(marketing),
                "mongodb": Shop(ferretdb, front),
                "mariadb": Billing(stack.enter_context(servers.mariadb())),
                "postgresql": Warehouse(stack.enter_context(servers.postgresql())),
            }
        )


def write_map(folder: Path, sample: int, window_s: float) -> Path:
    """Write the integration map; addresses and keys come from the environment.

    Args:
        sample: records of the sample and of the panel.
        window_s: the shortest window.
    """
    flows = [
        FLOW.format(
            name=name,
            owner=flow.owner,
            target=flow.target,
            fields=", ".join(flow.fields),
            window=flow.windows * window_s,
            every=flow.windows * window_s / AUDITS_IN_A_WINDOW,
            sample=sample,
        )
        for name, flow in FLOWS.items()
    ]
    file = folder / "map.yaml"
    file.write_text(MAP + "".join(flows))
    return file
