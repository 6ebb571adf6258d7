"""People at the shelf of saved queries: what they may do, and what is refused, in a ledger of either kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auditor.desk.shelf import Shelf
from auditor.ledger import Ledger
from checks.escalation import RefusedError
from checks.saved_queries import MOST, SavedQuery

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class WrongError(Exception):
    """A statement is not one that can be run."""


class People:
    """A ledger, and people who come one minute after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        self.wrong: set[str] = set()

    def shelf(self, who: str = "ada") -> Shelf:
        self.now += timedelta(minutes=1)
        return Shelf(self.ledger, who=who, known_by=f"{who}'s login", check=self.check, now=lambda: self.now)

    def check(self, sql: str) -> None:
        if sql in self.wrong:
            raise WrongError(sql)

    def only(self) -> SavedQuery:
        (found,) = self.ledger.saved_queries.listed()
        return found


@pytest.fixture
def people(ledger: Ledger) -> People:
    return People(ledger)


def test_a_query_is_saved_changed_renamed_and_deleted(people: People) -> None:
    number = people.shelf().save(" Slow  flows", "SELECT 1\n", "which are\nslow")
    kept = people.only()
    assert (kept.query_id, kept.name, kept.sql, kept.description) == (
        number,
        "Slow flows",
        "SELECT 1",
        "which are slow",
    )
    assert (kept.who, kept.known_by) == ("ada", "ada's login")
    people.shelf("bob").change(number, sql="SELECT 2")
    assert (people.only().sql, people.only().description) == ("SELECT 2", "which are slow")
    assert (people.only().changed_by, people.only().changed_known_by) == ("bob", "bob's login")
    people.shelf().change(number, name="SLOW flows", description="")
    assert (people.only().name, people.only().description) == ("SLOW flows", "")
    people.shelf().delete(number)
    assert people.ledger.saved_queries.listed() == []
    assert people.shelf().save("slow flows", "SELECT 3") != number


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(people: People) -> None:
    number = people.shelf().save("one", "SELECT 1")
    other = people.shelf("bob").save("two", "SELECT 2")
    with pytest.raises(RefusedError, match="there is a saved query 'one' already, saved by ada"):
        people.shelf().save("ONE", "SELECT 3")
    with pytest.raises(RefusedError, match="there is a saved query 'two' already, saved by bob"):
        people.shelf().change(number, name="Two", sql="SELECT 3")
    assert [each.sql for each in people.ledger.saved_queries.listed()] == ["SELECT 1", "SELECT 2"]
    people.shelf().delete(other)
    people.shelf().change(number, name="two")


def test_what_someone_else_changed_or_deleted_meanwhile_is_left_alone(people: People) -> None:
    number = people.shelf().save("one", "SELECT 1")
    seen_at = people.only().made_at
    people.shelf("bob").change(number, sql="SELECT 2")
    with pytest.raises(RefusedError, match=r"was changed by bob on .* after you opened it; open it again first"):
        people.shelf().change(number, sql="SELECT 3", seen_at=seen_at)
    with pytest.raises(RefusedError, match="changed by bob"):
        people.shelf().delete(number, seen_at=seen_at)
    people.shelf().change(number, sql="SELECT 3", seen_at=people.only().changed_at)
    people.shelf("bob").delete(number)
    with pytest.raises(RefusedError, match="was deleted meanwhile"):
        people.shelf().change(number, sql="SELECT 4")
    with pytest.raises(RefusedError, match="was deleted meanwhile"):
        people.shelf().delete(number)


def test_there_is_room_for_so_many_and_everyone_has_a_name(people: People) -> None:
    with people.ledger.write() as transaction:
        for number in range(MOST):
            add = people.ledger.saved_queries.add
            add(transaction, name=str(number), description="", sql="x", who="ada", known_by="k", at=NOW)
    with pytest.raises(RefusedError, match="no more are kept; delete some first"):
        people.shelf().save("one more", "SELECT 1")
    with pytest.raises(RefusedError, match="the name of who does this is missing"):
        people.shelf(" ")


def test_a_statement_that_cannot_be_run_is_not_saved(people: People) -> None:
    number = people.shelf().save("one", "SELECT 1")
    people.wrong = {"DROP x"}
    with pytest.raises(WrongError):
        people.shelf().save("two", "DROP x\n")
    with pytest.raises(WrongError):
        people.shelf().change(number, name="two", sql="DROP x")
    assert (people.only().name, people.only().sql) == ("one", "SELECT 1")


def test_a_saved_statement_that_can_no_longer_be_run_is_renamed_and_deleted(people: People) -> None:
    number = people.shelf().save("one", "SELECT 1")
    people.wrong = {"SELECT 1"}
    people.shelf().change(number, name="two", sql="SELECT 1")
    people.shelf().change(number, description="which is old")
    assert (people.only().name, people.only().description) == ("two", "which is old")
    people.shelf().delete(number)
    assert people.ledger.saved_queries.listed() == []
