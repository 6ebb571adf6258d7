"""Real servers for the whole session, a fresh database for each test that asks for one."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
import typer.testing
from hypothesis import HealthCheck, settings

from tests import ledgers, servers
from tests.scheduling import pytest_xdist_make_scheduler

__all__ = ["pytest_xdist_make_scheduler"]  # pytest finds it here

# Each of the processes that run tests, and every command that they start, would compile all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine may take any time for an example: what takes long is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# The test runner would build the parser of all commands anew for each, which takes longer than most of them.
vars(typer.testing)["_get_command"] = functools.cache(typer.main.get_command)

# Under nohup or in the background of a script, every daemon would inherit that these are ignored, and rightly keep
# ignoring them.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected is no garbage; `pytest_collection_finish` begins to look for some.
gc.disable()

_numbers = itertools.count(1)

HEAVY = {
    "kafka": "kafka_server",
    "rabbitmq": "rabbitmq_url",
    "sqs": "elasticmq_url",
    "pubsub": "pubsub_address",
    "mongodb": "ferretdb_url",
}
"""By what a parameter may call them, the fixtures of servers that take long to start."""

BROWSERS = {"browser", "page"}
"""What modules call their fixtures of a real browser."""

LONGEST = (
    "tests/auditor/test_escaping.py",
    "tests/auditor/console/test_query.py",
    "kafka_server",
    "rabbitmq_url",
    "tests/auditor/dashboard/test_browser.py",
    "tests/auditor/dashboard/test_tour.py",
    "tests/test_wheel.py",
)
"""The groups of tests that take longest, longest first: one that began late would run alone at the end."""


@pytest.hookimpl(tryfirst=True)  # xdist's own hook, which comes before a conftest's, reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run in one process, and first, all tests that share something that takes long to make, so that it is made once.

    That is a heavy server, or whatever a module's own fixtures make for the whole module.
    """
    for item in items:
        if BROWSERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.browser)
    groups = {item: _shared(item) for item in items}
    for item, shared in groups.items():
        if shared is not None:
            item.add_marker(pytest.mark.xdist_group(shared))
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (groups[item] is None, order.get(groups[item] or "", len(LONGEST))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Take back what a test has made of signals: a command that it called may watch for the one that ends it."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    told = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(told)
    try:
        return (yield)
    finally:
        signal.set_wakeup_fd(told)
        for number, handler in before.items():
            signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """Keep what was imported and collected, which lasts to the end, out of every search for garbage."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """At the end of the process it is garbage like all else."""
    gc.unfreeze()


def _shared(item: pytest.Item) -> str | None:
    asked = [*getattr(item, "fixturenames", ())]
    if (callspec := getattr(item, "callspec", None)) is not None:
        asked += [HEAVY[each] for each in callspec.params.values() if type(each) is str and each in HEAVY]
    heavy = next((name for name in HEAVY.values() if name in asked), None)
    if heavy is not None:
        return heavy
    made = item.session._fixturemanager.getfixturedefs  # what --fixtures shows, too
    scopes = {found[-1].scope for name in asked if (found := made(name, item))}
    return item.nodeid.partition("::")[0] if "module" in scopes else None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    with servers.mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def ferretdb_url() -> Iterator[str]:
    with servers.mongodb() as url:
        if url is None:
            pytest.skip("FerretDB cannot be had here")
        yield url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with servers.nats() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    with servers.rabbitmq() as url:
        yield url


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[servers.Kafka]:
    with servers.kafka() as running:
        yield running


@pytest.fixture(scope="session")
def connect_url(kafka_server: servers.Kafka) -> Iterator[str]:
    if kafka_server.login is None:
        pytest.skip("Kafka itself cannot be had here, and nothing stands in for Connect")
    with servers.connect(kafka_server.servers) as url:
        yield url


@pytest.fixture(scope="session")
def elasticmq_url() -> Iterator[str]:
    with servers.elasticmq() as url:
        if url is None:
            pytest.skip("ElasticMQ cannot be had here")
        yield url


@pytest.fixture(scope="session")
def pubsub_address() -> Iterator[str]:
    with servers.pubsub() as address:
        if address is None:
            pytest.skip("Google's fake of Pub/Sub cannot be had here")
        yield address


@contextlib.contextmanager
def _postgresql_database(server: str, template: str = "template1") -> Iterator[str]:
    name = f"t{next(_numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield f"{server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of a fresh PostgreSQL database."""
    with _postgresql_database(postgresql_server) as url:
        yield url


@pytest.fixture
def postgresql_ledger_url(postgresql_server: str) -> Iterator[str]:
    """URL of a fresh PostgreSQL database that holds an empty ledger."""
    with _postgresql_database(postgresql_server, ledgers.template(postgresql_server)) as url:
        ledgers.rename(url)
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """URL of a fresh MariaDB database."""
    name = f"t{next(_numbers)}"
    at = sa.make_url(mariadb_server)
    with pymysql.connect(
        host=at.host or "", port=at.port or 0, user=at.username, password=str(at.password), autocommit=True
    ) as admin:
        admin.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        yield f"{mariadb_server}/{name}"
        admin.cursor().execute(f"DROP DATABASE {name}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/data.sqlite"


@pytest.fixture
def sqlite_ledger_url(tmp_path: Path) -> str:
    """URL of a SQLite file that holds an empty ledger."""
    ledgers.put(tmp_path / "data.sqlite")
    return f"sqlite:///{tmp_path}/data.sqlite"
