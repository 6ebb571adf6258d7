"""Real servers for the whole session, a fresh database for each test that asks for one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from tests import servers

# A busy machine may take any time for an example: what takes long is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_numbers = itertools.count(1)

HEAVY = {
    "kafka": "kafka_server",
    "rabbitmq": "rabbitmq_url",
    "sqs": "elasticmq_url",
    "pubsub": "pubsub_address",
    "mongodb": "ferretdb_url",
}
"""By what a parameter may call them, the fixtures of servers that take long to start."""


@pytest.hookimpl(tryfirst=True)  # xdist's own hook, which comes before a conftest's, reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run in one process, and first, all tests that share something that takes long to make, so that it is made once.

    That is a heavy server, or whatever a module's own fixtures make for the whole module.
    """
    for item in items:
        shared = _shared(item)
        if shared is not None:
            item.add_marker(pytest.mark.xdist_group(shared))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


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


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of a fresh PostgreSQL database."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield f"{postgresql_server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
