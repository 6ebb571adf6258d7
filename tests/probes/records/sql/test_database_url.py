"""URLs of databases, read as SQLAlchemy reads them, and without it."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from probes.records.sql.database_url import DIALECTS, read_url
from tests.attacks import database_urls

SCHEMES = st.sampled_from(["postgresql", "postgres", "mariadb", "mysql", "sqlite", "postgresql+psycopg", "oracle"])
PART = st.text(alphabet="ab1%40:@/?#[]&=.,+- \u00e9", max_size=8)


def agree(text: str) -> bool:
    """Whether a URL is read at all; where it is, whether SQLAlchemy reads the same out of it."""
    try:
        told = read_url(text)
    except ValueError:
        return False
    scheme, _, rest = text.partition("://")
    read = sa.make_url(
        f"{scheme.replace('postgres', 'postgresql') if 'postgresql' not in scheme else scheme}://{rest}"
    )
    url = told.url
    assert url.drivername == DIALECTS[read.get_backend_name()].drivername
    assert (url.username, url.password, url.host, url.port, url.database) == (
        read.username,
        read.password,
        read.host,
        read.port,
        read.database,
    )
    assert url.query == ({name: read.query[name] for name in ("host", "port") if name in read.query})
    return True


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://h/db",
        "postgres://u:p%40ss@h:5433/db",
        "postgresql+psycopg2://u@[::1]:5433/db?application_name=x",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql://u@/db?host=h1&host=h2&port=1&port=2",
        "mariadb://u:p:q@h/db?ssl_ca=/ca.pem",
        "mysql://u:@h",
        "sqlite:///data.db",
        "sqlite:////var/lib/data.db?nolock=1",
        "sqlite:///a%20b.db",
    ],
)
def test_a_url_is_read_as_sqlalchemy_reads_it(text: str) -> None:
    assert agree(text)


@pytest.mark.parametrize("text", ["", "h/db", "postgresql://u@h:x/db", "postgresql://u@h:1:2/db", "://h/db"])
def test_what_is_no_url_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="URL") as refused:
        read_url(text)
    assert not text or text not in str(refused.value)


@given(SCHEMES, PART, PART, PART, PART, PART)
def test_no_url_is_read_otherwise_than_sqlalchemy_reads_it(
    scheme: str, user: str, password: str, host: str, database: str, query: str
) -> None:
    for text in (
        f"{scheme}://{user}:{password}@{host}/{database}?{query}",
        f"{scheme}://{host}/{database}",
        f"{scheme}://{user}@{host}:1{database}?application_name={query}",
        f"{scheme}:///{database}?{query}",
    ):
        agree(text)


def test_hostile_parameters_are_read_alike_or_refused() -> None:
    for template in database_urls.SQLITE.values():
        with contextlib.suppress(IndexError, KeyError):
            agree(template.format(path="/d/d.sqlite", relative="d.sqlite", folder="/d"))
    for dialect, more in (
        ("postgresql", database_urls.UNLOCKING_POSTGRESQL),
        ("mariadb", database_urls.UNLOCKING_MARIADB),
    ):
        for parameter in more.values():
            agree(f"{dialect}://u@h/db?{parameter}")


def test_no_secret_stands_in_what_is_shown_of_a_url() -> None:
    told = read_url("postgresql://u:s3cret@h/db?sslpassword=s3cret")
    assert "s3cret" not in repr(told) + repr(told.url)
