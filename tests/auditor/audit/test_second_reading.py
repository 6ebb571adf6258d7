"""What differs is read again: noise, witnesses, and what each row was made into."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from checks.judgement import Outcome
from checks.values import Parser
from probes.contract import Key, ProbeError, ReadSpec, Reason, RecordProbe, Row
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand


@pytest.fixture
def noisy(stand: Stand) -> Stand:
    """Billing answers another amount each time it is asked, and the name as it is."""
    stand.agree(5)
    with stand.open("billing") as database:
        database.executescript(
            "ALTER TABLE customers RENAME TO held;"
            "CREATE VIEW customers AS SELECT id, name, cast(abs(random()) % 1000000 AS text) AS amount, updated_at "
            "FROM held WHERE id = 3 UNION ALL SELECT * FROM held WHERE id <> 3;"
        )
    return stand


def test_a_field_that_differs_from_itself_blames_nobody(noisy: Stand) -> None:
    for _ in range(4):
        noisy.sweep()
        noisy.audit(after_s=10)
    assert open_causes(noisy) == {}
    (counted,) = [each for each in noisy.rows("noise") if each["field"] == "amount" and each["system"] == "billing"]
    assert int(str(counted["differed"])) > 0
    (quiet,) = [each for each in noisy.rows("noise") if each["field"] == "name" and each["system"] == "billing"]
    assert quiet["differed"] == 0


def test_what_differs_beside_the_noise_is_still_found(noisy: Stand) -> None:
    noisy.run("billing", "UPDATE held SET name = 'Eve' WHERE id = 3")
    noisy.audit_until(lambda: open_causes(noisy))
    noisy.sweep()
    noisy.audit_until(lambda: open_causes(noisy))
    assert open_causes(noisy) == {"foreign_write": 1}
    (told,) = [each for each in noisy.rows("divergences") if each["state"] == "open"]
    assert told["fields"] == "name"


def test_an_owner_that_never_answers_the_same_blames_nobody(stand: Stand) -> None:
    stand.agree(5)
    with stand.open("crm") as database:
        database.executescript(
            "ALTER TABLE customers RENAME TO held;"
            "CREATE VIEW customers AS SELECT id, name, cast(abs(random()) % 1000000 AS text) AS amount, updated_at "
            "FROM held;"
        )
    for _ in range(3):
        stand.sweep()
    assert open_causes(stand) == {}
    counted = [each for each in stand.rows("noise") if each["field"] == "amount" and each["system"] == "crm"]
    assert sum(int(str(each["differed"])) for each in counted) > 0


def test_the_other_systems_are_asked_which_side_they_are_on(stand: Stand) -> None:
    with sqlite3.connect(stand.place / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE customers (id integer, name text)")
        shop.executemany("INSERT INTO customers VALUES (?, 'Ada')", [(key,) for key in range(1, 6)])
    stand.remap("data_types:", f'  shop: {{kind: sql, url: "sqlite:///{stand.place}/shop.sqlite"}}\ndata_types:')
    stand.remap(
        "      billing: {collection: customers, key: id}",
        "      billing: {collection: customers, key: id}\n"
        "      shop: {collection: customers, key: id, absent: [amount]}",
    )
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = [each for each in stand.rows("divergences") if each["state"] == "open"]
    assert told["witnesses"] == "name: billing against crm and shop"


class Mute:
    """A probe that never answers a fetch until it is let go."""

    def __init__(self, probe: RecordProbe) -> None:
        self.asked = 0
        self.let_go = threading.Event()
        self._probe = probe

    def fetch(self, _: ReadSpec, __: Sequence[Key]) -> list[Row]:
        self.asked += 1
        self.let_go.wait(100)
        raise ProbeError(Reason.TIMEOUT, "it was let go")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)


def test_a_witness_that_hangs_delays_nobody_and_is_asked_once(stand: Stand) -> None:
    """Its deadline is a minute: an audit that waited for it would not end before it is let go."""
    with sqlite3.connect(stand.place / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE customers (id integer, name text)")
    address = f'"sqlite:///{stand.place}/shop.sqlite", budget: {{timeout: 60s}}'
    stand.remap("data_types:", f"  shop: {{kind: sql, url: {address}}}\ndata_types:")
    stand.remap(
        "      billing: {collection: customers, key: id}",
        "      billing: {collection: customers, key: id}\n"
        "      shop: {collection: customers, key: id, absent: [amount]}",
    )
    stand.agree(5)
    mute = Mute(stand.readers["shop"].probe)
    stand.readers["shop"].probe = mute
    for key in (2, 3, 4):
        stand.run("billing", f"UPDATE customers SET name = 'Eve' WHERE id = {key}")
        stand.sweep()
        stand.sweep()
    stand.audit_until(lambda: open_causes(stand) == {"foreign_write": 3})
    assert open_causes(stand) == {"foreign_write": 3}
    assert not mute.let_go.is_set()
    assert mute.asked == 1
    told = [each["witnesses"] for each in stand.rows("divergences") if each["state"] == "open"]
    assert told == [None] * 3 or told == [""] * 3
    mute.let_go.set()


def count_parsed(stand: Stand) -> Counter[str]:
    """Counts, by system, how often a name is made canonical."""
    comparer, counted = stand.auditor._gatherer.comparer, Counter[str]()

    def counting(system: str, parse: Parser) -> Parser:
        def counted_parse(raw: Any) -> Any:
            counted[system] += 1
            return parse(raw)

        return counted_parse

    for side in (comparer.owner, comparer.target):
        name, *others = side.parsers
        object.__setattr__(side, "parsers", (counting(side.system, name), *others))
    return counted


def test_each_row_that_is_read_is_made_canonical_once(stand: Stand) -> None:
    stand.agree(1)
    stand.run("billing", "UPDATE customers SET name = 'Eve'")
    stand.sweep()
    counted = count_parsed(stand)
    stand.sweep()  # read again in both systems, because it differed before
    assert counted == {"crm": 2, "billing": 2}
    with stand.open("crm") as database:
        database.executescript(
            "ALTER TABLE customers RENAME TO held;"
            "CREATE VIEW customers AS SELECT id, hex(randomblob(9)) AS name, amount, "
            "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || abs(random() % 1000000) || ' seconds') AS updated_at "
            "FROM held;"
        )
    counted.clear()
    assert stand.sweep().counts[Outcome.INCONCLUSIVE] == 1  # it moves, and the second copy is looked at as well
    assert counted == {"crm": 2, "billing": 1}


def test_a_rule_is_asked_of_each_systems_own_copy(stand: Stand) -> None:
    stand.remap("    key_type: integer\n", "    key_type: integer\n    rules: {some name: \"name != ''\"}\n")
    stand.agree(5)
    stand.put("crm", 3, "")
    stand.put("billing", 3, "")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"invalid": 1}
    (told,) = [each for each in stand.rows("divergences") if each["state"] == "open"]
    assert told["fields"] == "some name"
    assert stand.ledger.conflicts.listed() == []
    stand.put("crm", 3, "Ada", ago_s=0)
    stand.put("billing", 3, "Ada")
    stand.audit_until(lambda: not open_causes(stand))
    assert open_causes(stand) == {}


def test_a_rule_that_raises_on_a_value_makes_it_unverifiable_and_not_agreed(stand: Stand) -> None:
    stand.remap("    key_type: integer\n", '    key_type: integer\n    rules: {odd: "name > 5"}\n')
    stand.fill(3)
    result = stand.sweep()
    assert {outcome.value: count for outcome, count in result.counts.items() if count} == {"cannot_verify": 3}


def test_an_update_that_billing_may_make_and_that_vanishes_is_told(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, writers: [billing], evidence: clear}")
    stand.remap("    every: 1s\n", "    every: 1s\n    conflict_policy: field-merge\n")
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.sweep()
    stand.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    stand.audit(after_s=10)
    (told,) = stand.rows("divergences")
    assert (told["cause"], told["state"]) == ("lost_update", "closed")
    assert told["detail"] == "the target's update was overwritten: both show the owner's earlier value"
    (conflict,) = stand.ledger.conflicts.listed()
    assert conflict.cause.value == "lost_update"


def test_a_field_that_billing_owns_is_late_at_the_crm(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, owner: billing, evidence: clear}")
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"late": 1}
    stand.put("crm", 3, "Eve", ago_s=0)
    stand.audit_until(lambda: not open_causes(stand))
    stand.put("crm", 4, "Mallory", ago_s=0)
    stand.audit()
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"foreign_write": 1}
