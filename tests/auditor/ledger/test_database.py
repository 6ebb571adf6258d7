"""The database behind a ledger: made and brought up to date by one at a time, and only one of ours."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from auditor.ledger import Ledger, LedgerError
from auditor.ledger import tables as t
from auditor.ledger.database import _MIGRATIONS, _revisions
from checks.handling import Event, Verb
from tests.auditor.older_ledger import made_at, taken_back


def test_migrating_twice_changes_nothing_and_matches_the_tables(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, t.metadata) == []


def test_the_names_of_the_migrations_are_their_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    head, known = _revisions()
    assert head == scripts.get_current_head()
    assert known == {each.revision for each in scripts.walk_revisions()}


def test_a_ledger_from_the_future_is_refused(ledger: Ledger) -> None:
    with ledger.database.unnumbered() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="newer version"):
        ledger.migrate()


def test_a_ledger_url_of_another_kind_is_refused() -> None:
    with pytest.raises(LedgerError, match="sqlite"):
        Ledger("mysql://u@h/x")
    with pytest.raises(LedgerError, match="needs a file"):
        Ledger("sqlite://")


def test_an_older_ledger_keeps_its_incidents(request: pytest.FixtureRequest) -> None:
    for engine in ("sqlite", "postgresql"):
        older = made_at(request.getfixturevalue(f"{engine}_url"), "0005")
        with older.database.unnumbered() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO incidents (rev, fingerprint, breach, state, opened_at, count, peak, clean, "
                    "reopened, summary) VALUES (1, 'x', 'orphan', 'open', 0, 7, 9, 1, 0, 's')"
                )
            )
        older.migrate()
        with older.write() as transaction:
            (known,) = older.incidents.live(transaction)
            (breach,) = older.breaches.open(transaction)
        assert (known.count, known.peak, known.told, known.growth, known.clear_since_at) == (7, 9, 7, None, None)
        assert (known.cause, known.severity, known.fingerprint) == ("orphan", "low", "x")
        assert (breach.incident_id, breach.fingerprint, breach.count, breach.peak) == (known.incident_id, "x", 7, 9)
        older.close()


def test_incidents_of_an_older_ledger_have_a_timeline_and_can_go_back(request: pytest.FixtureRequest) -> None:
    for engine in ("sqlite", "postgresql"):
        older = made_at(request.getfixturevalue(f"{engine}_url"), "0032")
        with older.database.unnumbered() as connection:
            for number, state, resolved_at in ((1, "open", None), (2, "resolved", 9)):
                connection.execute(
                    sa.text(
                        "INSERT INTO incidents (rev, fingerprint, breach, state, opened_at, resolved_at, count, "
                        "peak, reopened, summary, cause, severity, evidence, told_messages, explained, apart) VALUES "
                        "(:number, 'x', 'orphan', :state, 5, :resolved_at, 7, 9, 0, 's', 'orphan', 'low', '', 0, "
                        ":no, :no)"
                    ),
                    {"number": number, "state": state, "resolved_at": resolved_at, "no": False},
                )
        older.migrate()
        assert [str(each.verb) for each in older.incident_events.of(1)] == ["opened"]
        assert [str(each.verb) for each in older.incident_events.of(2)] == ["opened", "resolved"]
        with older.write() as transaction:
            event = Event(verb=Verb.ACKNOWLEDGE, acted_at=datetime.now(UTC), who="ada")
            older.incident_events.record(transaction, 1, event)
        taken_back(older, "0032")
        with older.database.read() as connection:
            assert list(connection.scalars(sa.text("SELECT state FROM incidents ORDER BY id"))) == [
                "open",
                "resolved",
            ]
        older.migrate()
        older.close()


def test_a_ledger_of_this_version_waits_for_nobody_who_migrates(postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    ledger.migrate()
    with psycopg.connect(postgresql_url) as stuck:
        stuck.execute("SELECT pg_advisory_xact_lock(7305128)")
        ledger.database.migrate(patience_s=0.01)
    ledger.close()


def test_a_process_that_died_while_it_migrated_holds_nobody_up_without_end(postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    with psycopg.connect(postgresql_url) as stuck:
        stuck.execute("SELECT pg_advisory_xact_lock(7305128)")
        with pytest.raises(LedgerError, match="lock timeout"):
            ledger.database.migrate(patience_s=0.01)
    ledger.migrate()
    ledger.close()


def test_whoever_writes_without_a_lease_gives_way_when_it_falls_silent(postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    ledger.migrate()
    with ledger.database.unnumbered() as connection:
        limits = [
            connection.execute(sa.text(f"SHOW {name}")).scalar_one()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout")
        ]
    with ledger.database.read() as connection:
        assert connection.execute(sa.text("SHOW lock_timeout")).scalar_one() == "0"
    ledger.close()
    assert "0" not in limits


def test_threads_that_each_make_a_ledger_do_not_mix_them_up(tmp_path: Path) -> None:
    ledgers = [Ledger(f"sqlite:///{tmp_path}/{at}.sqlite") for at in range(6)]
    failed: list[Exception] = []
    together = threading.Barrier(len(ledgers))

    def make(ledger: Ledger) -> None:
        together.wait()
        try:
            ledger.migrate()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=(each,)) for each in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for ledger in ledgers:
        assert ledger.findings.open_by_cause() == {}
        ledger.close()
