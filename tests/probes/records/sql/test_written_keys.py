"""Keys that one database holds in several writings, in columns of every collation: each writing is found."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from checks.keys import key_parser, requested
from probes.contract import KEY, Key, Page, ProbeError, ReadSpec, Reason
from probes.letter_case import folded, is_in_one_form
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings

SPEC = ReadSpec(
    data_type="person", collection="people", key="mail", key_type="caseless", changed_at=None, fields=("name",)
)

WORDS = [
    *("ann@example.com", "Ann@Example.com", "ANN@EXAMPLE.COM", "istanbul", "ISTANBUL", "Istanbul", "ıstanbul"),
    *("İSTANBUL", "i\u0307stanbul", "strasse", "STRASSE", "straße", "STRAẞE", "Straße", "rené", "RENÉ", "rene"),
    *("müller", "MÜLLER", "mÜller", "οδος", "ΟΔΟΣ", "οδοσ", "жук", "ЖУК", "Жук", "kiss", "KISS", "ſo", "so", "SO"),
    *("ﬁn", "fin", "FIN", "Ǆ", "ǅ", "ǆ", "Ω", "\u2126", "K1", "\u212a1", "it's", "IT'S", "100%", "a\\b", "A\\B"),
    *("ΐ", "Ϊ\u0301", "ǰ", "J\u030c", "ꭰ", "Ꭰ", "\u1fb3", "\u1fbc"),
]
RAW = list(
    dict.fromkeys(
        form
        for word in WORDS
        for form in (word, *(unicodedata.normalize(each, word) for each in ("NFC", "NFD")))
        if is_in_one_form(form)
    )
)

COLUMNS = {
    "postgresql": [
        "text",
        "varchar(60)",
        "char(40)",
        "citext",
        'text COLLATE "C"',
        'text COLLATE "tr-x-icu"',
        'text COLLATE "az-x-icu"',
        "text COLLATE any_case",
    ],
    "mariadb": [
        "varchar(60)",
        "char(40)",
        *(
            f"varchar(60) COLLATE utf8mb4_{each}"
            for each in ("bin", "general_ci", "unicode_ci", "turkish_ci", "german2_ci", "lithuanian_ci")
        ),
        "text CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_as_cs",
        "text CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_turkish_ai_ci",
        "varchar(60) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        "varchar(60) CHARACTER SET latin5 COLLATE latin5_turkish_ci",
    ],
    "sqlite": ["text", "text COLLATE NOCASE", "", "varchar(60) COLLATE RTRIM"],
}
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}


class People:
    """A table of people in one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        address = sa.make_url(url)
        self.engine = sa.create_engine(address.set(drivername=DRIVERS[address.get_backend_name()]))
        self.probe = SqlProbe(
            SqlSettings.model_validate({"kind": "sql", "url": url, "zone": "UTC", "budget": {"timeout": "30s"}})
        )

    def make(self, column: str) -> None:
        self.run(f"CREATE TABLE people (mail {column}, name varchar(60))")

    def run(self, text: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(text)

    def add(self, *raw: str) -> None:
        for each in raw:
            with self.engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO people VALUES (:m, 'n')"), {"m": each})

    def added(self, raw: str) -> bool:
        """Add a row, if the column can hold it."""
        try:
            self.add(raw)
        except DBAPIError:
            return False
        return True

    def found(self, *keys: Key, spec: ReadSpec = SPEC) -> list[str]:
        return [row[0] for row in self.probe.fetch(spec, keys)]


@pytest.fixture(params=list(COLUMNS))
def people(request: pytest.FixtureRequest) -> Iterator[People]:
    made = People(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.probe.close()
    made.engine.dispose()


def test_every_writing_of_a_key_is_found_in_columns_of_every_collation(people: People) -> None:
    kind = people.engine.dialect.name
    if kind == "postgresql":
        people.run("CREATE EXTENSION citext")
        people.run("CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    parse = key_parser("caseless", "a")
    for column in COLUMNS[kind]:
        people.make(column)
        held = [each for each in RAW if people.added(each)]
        assert len(held) > len(RAW) // 3
        stored = people.found(*(folded(each) for each in held))
        for key in dict.fromkeys(map(folded, held)):
            of_key = sorted(raw for raw in people.found(key) if parse(raw) == key)
            assert of_key == sorted(raw for raw in held if folded(raw) == key), (column, key)
        assert sorted(stored) == sorted(held), column
        people.probe.close()
        people.run("DROP TABLE people")
        people.probe = People(people.url).probe


def test_a_number_is_found_however_it_is_written(people: People) -> None:
    people.make("varchar(60)")
    one = ["+4930123456", "030 12 34 56", "(030) 123-456", "0049 30/123456", "030\u00a0123\u2013456"]
    people.add(*one, "030 999999", "040 123456", "030 123456 ext. 5", "no number", "")
    spec = replace(SPEC, key_type="phone", key_region="DE")
    parse = key_parser("phone", "a", region="DE")
    found = people.found("+4930123456", spec=spec)
    assert sorted(found) == sorted([*one, "040 123456"])
    assert sorted(raw for raw in found if parse(raw) == "+4930123456") == sorted(one)
    assert people.found("+4930111111", spec=spec) == []
    odd = people.found("+4930123456", "+4930111111", spec=replace(spec, mistaken=True))
    assert sorted(odd) == sorted([*one, "040 123456", "030 123456 ext. 5"])
    assert [each for each in people.probe.inspect(spec) if "however a number is written" in each] or (
        people.engine.dialect.name == "postgresql"
    )


PAIRS = replace(
    SPEC, key="tenant", key_parts=("tenant", "mail"), part_types=("integer", "caseless"), key_type="string"
)


def test_parts_of_a_key_are_found_in_every_writing(people: People) -> None:
    people.run("CREATE TABLE people (tenant integer, mail varchar(60), mobile varchar(60), name varchar(60))")
    held = [
        *((1, "Ann@X.de", "030 123456"), (1, "ANN@x.de", "+4930123456"), (2, "ann@x.de", "(030) 123-456")),
        *((1, "müller", "040 123456"), (2, "MÜLLER", "030 999999"), (1, "strasse", "030 123456 ext. 5")),
    ]
    with people.engine.begin() as connection:
        for tenant, mail, mobile in held:
            words = {"t": tenant, "m": mail, "p": mobile}
            connection.execute(sa.text("INSERT INTO people VALUES (:t, :m, :p, 'n')"), words)

    def found(spec: ReadSpec, *keys: str) -> list[tuple[object, ...]]:
        rows = people.probe.fetch(spec, keys)
        return sorted(row[KEY] for row in requested(spec.key_types, keys, rows, spec.key_region))

    assert found(PAIRS, "1/ann@x.de") == [(1, "ANN@x.de"), (1, "Ann@X.de")]
    assert found(PAIRS, "2/ann@x.de", "1/müller", "2/müller", "3/ann@x.de") == [
        *((1, "müller"), (2, "MÜLLER"), (2, "ann@x.de")),
    ]
    assert found(PAIRS, "1/straße", "no number/ann@x.de") == []
    assert (1, "strasse") in {row[KEY] for row in people.probe.fetch(replace(PAIRS, mistaken=True), ["1/straße"])}
    phones = replace(PAIRS, key_parts=("tenant", "mobile"), part_types=("integer", "phone"), key_region="DE")
    assert found(phones, "1/+4930123456", "2/+4930999999") == [
        *((1, "+4930123456"), (1, "030 123456"), (2, "030 999999")),
    ]
    odd = {row[KEY] for row in people.probe.fetch(replace(phones, mistaken=True), ["1/+4930123456"])}
    assert {(1, "030 123456 ext. 5"), (1, "030 123456")} <= odd
    both = replace(phones, key="mobile", key_parts=("mobile", "mail"), part_types=("phone", "caseless"))
    assert found(both, "+4930123456/ann@x.de", "+4940123456/müller", "+4930999999/ann@x.de") == [
        *(("(030) 123-456", "ann@x.de"), ("+4930123456", "ANN@x.de")),
        *(("030 123456", "Ann@X.de"), ("040 123456", "müller")),
    ]
    many = [f"{number}/жук{number}@x.de" for number in range(people.probe.batch_limit(PAIRS))]
    assert found(PAIRS, *many) == []
    several = [f"+4930{number:06}/жук{number}@x.de" for number in range(people.probe.batch_limit(both))]
    assert found(both, *several) == []
    assert found(replace(both, mistaken=True), *several) == []


def test_a_page_has_each_row_of_such_a_key_once(people: People) -> None:
    people.run("CREATE TABLE people (tenant integer, mail varchar(60), name varchar(60))")
    held = [(1, "ann"), (1, "ANN"), (1, "Ann"), (1, "bob"), (2, "ann"), (2, "ANN"), (2, "ann")]
    with people.engine.begin() as connection:
        for tenant, mail in held:
            connection.execute(sa.text("INSERT INTO people VALUES (:t, :m, 'n')"), {"t": tenant, "m": mail})
    for limit in (1, 2, 3, 100):
        rows, after = [], None
        for _ in range(20):
            page: Page = people.probe.page(PAIRS, after, limit)
            rows += [row[KEY] for row in page.rows]
            after = page.next
            if after is None:
                break
        assert sorted(rows) == sorted(held)
    assert not PAIRS.lists_whole_keys
    assert not people.probe.can_rank(PAIRS, "0" * 32)


def test_the_doctor_asks_for_an_index_of_one_part(people: People) -> None:
    people.run("CREATE TABLE people (tenant integer, mail varchar(60), name varchar(60))")
    postgresql = people.engine.dialect.name == "postgresql"  # where the planner judges, by the size of the table
    before = [each for each in people.probe.inspect(PAIRS) if "index" in each]
    assert postgresql or any(
        "people.mail has no index by which it is found in whatever case" in each for each in before
    )
    people.run("CREATE INDEX by_tenant ON people (tenant)")
    assert [each for each in people.probe.inspect(PAIRS) if "index" in each] == []


def test_a_listing_returns_every_row_once_whatever_its_writing(people: People) -> None:
    people.make("varchar(60)")
    people.add("ann", "ANN", "Ann", "bob", "BOB", "bob", "c", "n/a")
    for key_type in ("caseless", "phone"):
        spec = ReadSpec(
            data_type="person", collection="people", key="mail", key_type=key_type, changed_at=None, fields=()
        )
        rows, after = [], None
        for _ in range(20):
            page: Page = people.probe.page(spec, after, 2)
            rows += [row[0] for row in page.rows]
            after = page.next
            if after is None:
                break
        assert sorted(rows) == sorted(["ann", "ANN", "Ann", "bob", "BOB", "bob", "c", "n/a"])
        assert not people.probe.can_rank(spec, "0" * 32)


def remarks(people: People) -> list[str]:
    fresh = People(people.url)
    try:
        return [each for each in fresh.probe.inspect(SPEC) if "in whatever case" in each]
    finally:
        fresh.probe.close()
        fresh.engine.dispose()


def test_the_doctor_names_the_index_that_serves_keys_in_any_case(people: People) -> None:
    kind = people.engine.dialect.name
    people.make({"mariadb": "varchar(60) COLLATE utf8mb4_bin"}.get(kind, "varchar(60)"))
    people.run("CREATE INDEX plain ON people (mail)")
    if kind == "postgresql":
        people.run("INSERT INTO people SELECT 'M' || n || '@example.com', 'n' FROM generate_series(1, 300000) n")
        people.run("ANALYZE people")
    (remark,) = remarks(people)
    if kind == "mariadb":
        assert "a collation that ignores case" in remark
        people.run("ALTER TABLE people MODIFY mail varchar(60) COLLATE utf8mb4_general_ci")
    else:
        index = remark[remark.index("CREATE INDEX") :].replace("CONCURRENTLY ", "").replace("...", "served")
        people.run(index)
        if kind == "postgresql":
            people.run("ANALYZE people")
    assert remarks(people) == []


def test_keys_in_a_column_of_bytes_are_refused(people: People) -> None:
    people.make({"postgresql": "bytea", "mariadb": "varbinary(60)", "sqlite": "blob"}[people.engine.dialect.name])
    with pytest.raises(ProbeError, match="holds bytes, in which a key cannot be looked up in any case") as refused:
        people.found("ann")
    assert refused.value.reason is Reason.QUERY
