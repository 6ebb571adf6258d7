"""Numbers that stand for far more than they hold, in every place that takes one: refused or compared, and at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from auditor.ledger import Ledger
from auditor.map.loader import load_map
from checks.difference_kinds import pattern_of
from checks.differences import shape_of
from checks.equality import agree
from checks.field_text import plain, show, text_of
from checks.fields import FieldRule, FieldType, parser_for
from checks.judgement import Outcome
from checks.keys import key_parser
from checks.unreadable import UnreadableError
from probes.contract import ReadSpec
from probes.durations import LONGEST_S, parse_duration
from probes.exact_json import decode
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.attacks.numbers import NUMBERS, SPELT
from tests.auditor.cli.process import auditor
from tests.stand import swept

TEXTS = {
    **NUMBERS,
    **SPELT,
    "years": "P" + "9" * 100_000 + "Y",
    "seconds": "PT" + "9" * 100_000 + "S",
    "months of PostgreSQL": "9" * 100_000 + " mons",
    "hours of a clock": "9" * 100_000 + ":00:00",
    "mask": "1.2.3.4/" + "9" * 100_000,
    "range": "[1e10000000," + "9" * 100_000 + ")",
    "array": "[" + "9" * 100_000 + ", 1e10000000]",
    "money": "EUR " + "9" * 100_000,
    "year": "9" * 100_000 + "-01-01",
    "fraction of a second": "2026-01-01T00:00:00." + "9" * 100_000 + "Z",
    "offset": "2026-01-01T00:00:00+" + "9" * 100_000,
    "bits": "1" * 100_000,
}
WORDS: list[dict[str, Any]] = [
    {},
    {"unit": {"a": "ms"}},
    {"factor": {"a": "1e30"}},
    {"minor_units": ["a"]},
    {"scale": 30},
    {"items": "decimal"},
    {"valid": {"min": "1e4000", "max": "-1e10000000"}},
    {"tolerance": "1e10000000"},
]


def every_type_reads_every_number() -> int:
    """Read and compare them all; any error but `UnreadableError` is raised. Answers how many were read."""
    count = 0
    for type_ in get_args(FieldType):
        for words in WORDS:
            currency = {"currency": "EUR"} if type_ == "money" else {}
            try:
                rule = FieldRule.model_validate({"type": type_, **currency, **words})
            except ValueError:
                continue
            parse, found = parser_for(rule, "a", "UTC"), []
            for text in TEXTS.values():
                raws: list[Any] = [text]
                with suppress(ValueError):
                    raws.append(decode(text))
                for raw in raws:
                    try:
                        value = parse(raw)
                    except UnreadableError:
                        continue
                    show(rule, value), plain(rule, value), text_of(rule, value)
                    found.append(value)
            count += len(found)
            for one in found[:10]:
                for other in found[:10]:
                    if not agree(rule, one, other):
                        pattern_of(rule, shape_of(rule, one, other), one, other)
    for key_type in ("integer", "string", "uuid", "salesforce_id"):
        for text in TEXTS.values():
            try:
                key_parser(key_type, "a")(text)
            except UnreadableError:
                continue
    return count


def test_every_type_reads_every_number_at_once() -> None:
    """What expands `1e10000000` takes hours and gigabytes; all of this takes seconds. The limits are generous."""
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (240, 240))\n"
        "from tests.auditor.audit.test_number_ceilings import every_type_reads_every_number as read\n"
        "print(read())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 500


@pytest.mark.parametrize("text", [*TEXTS.values(), float("inf"), float("nan"), 10**400])
def test_a_duration_is_bounded(text: Any) -> None:
    for told in (text, f"{text}s", f"{text}d") if isinstance(text, str) else (text,):
        try:
            assert 0 <= parse_duration(told) <= LONGEST_S
        except ValueError as error:
            assert len(str(error)) < 300  # noqa: PT017  either is right


MAP = """\
systems:
  crm: {kind: sql, url: "sqlite:///PLACE/crm.sqlite", zone: UTC}
  copy: {kind: sql, url: "URL", zone: UTC}
data_types:
  thing:
    owner: crm
    window: 1s
    key_type: KEYS
    fields: {n: {type: decimal}, doc: {type: json}}
    in:
      crm: {collection: things, key: id, version: v}
      copy: {collection: things, key: id}
flows:
  sync: {data_type: thing, from: crm, to: copy, pattern: real-time, every: 1s, sample: 10}
"""


def test_a_flow_goes_on_beside_every_number(ledger: Ledger, tmp_path: Path) -> None:
    """As value, inside JSON, as key and as version: the honest records agree, and no record stops an audit."""
    for system in ("crm", "copy"):
        engine = sa.create_engine(f"sqlite:///{tmp_path}/{system}.sqlite")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE things (id, n, doc, v)")
            insert = sa.text("INSERT INTO things VALUES (:id, :n, :doc, :v)")
            for at in range(20):
                connection.execute(insert, {"id": str(at), "n": "1.5", "doc": "[1]", "v": at})
            for at, text in enumerate(TEXTS.values()):
                connection.execute(insert, {"id": f"n{at}", "n": text, "doc": "[1]", "v": 30})
                connection.execute(insert, {"id": f"d{at}", "n": "1", "doc": f'{{"a": {text}}}', "v": 31})
                connection.execute(insert, {"id": text, "n": "1", "doc": "[1]", "v": 32})
                connection.execute(insert, {"id": f"v{at}", "n": "1", "doc": "[1]", "v": text})
        engine.dispose()
    counts = audited(ledger, tmp_path, f"sqlite:///{tmp_path}/copy.sqlite", "string")
    assert counts[Outcome.AGREED] >= 20 + len(TEXTS)
    assert counts[Outcome.CANNOT_VERIFY] >= len(NUMBERS) // 2


def audited(ledger: Ledger, place: Path, url: str, keys: str) -> Mapping[Outcome, int]:
    file = place / "map.yaml"
    file.write_text(MAP.replace("PLACE", str(place)).replace("URL", url).replace("KEYS", keys))
    return swept(load_map(file, {}), "sync", ledger).counts


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize("type_", ["numeric(30)", "bigint", "varchar(100)"])
def test_keys_that_no_column_of_numbers_holds_are_not_there(
    request: pytest.FixtureRequest, kind: str, type_: str
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
    engine = sa.create_engine(sa.make_url(url).set(drivername=drivers[kind]))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE things (id {type_}, n int)")
        connection.exec_driver_sql("INSERT INTO things VALUES (7, 1), (0, 2)")
    engine.dispose()
    probe = SqlProbe(SqlSettings.model_validate({"kind": "sql", "url": url}))
    spec = ReadSpec(data_type="t", collection="things", key="id", changed_at=None, key_type="string", fields=("n",))
    keys = [text for text in TEXTS.values() if len(text) < 2_000 and "\0" not in text]
    try:
        found = probe.fetch(spec, [*keys, "7"])
    finally:
        probe.close()
    assert 1 in {row[2] for row in found}


KEYS = ["1e10000000", "-5", pytest.param("9" * 100_000, id="100,000 digits"), "1e999999999", "NaN"]


@pytest.mark.parametrize("key", KEYS)
def test_the_command_line_takes_any_key(tmp_path: Path, key: str) -> None:
    for system in ("crm", "copy"):
        engine = sa.create_engine(f"sqlite:///{tmp_path}/{system}.sqlite")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE things (id integer, n, doc, v)")
        engine.dispose()
    file = tmp_path / "map.yaml"
    copy = f"sqlite:///{tmp_path}/copy.sqlite"
    file.write_text(MAP.replace("PLACE", str(tmp_path)).replace("URL", copy).replace("KEYS", "integer"))
    done = auditor("record", "thing", key, "--map", file)
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1, 2, 3}
    if key == "9" * 100_000 or "e" in key:
        assert "key of thing" in done.stderr
