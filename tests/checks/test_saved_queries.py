"""Which queries may be saved, and under which names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checks.escalation import RefusedError
from checks.saved_queries import (
    DESCRIPTION_LIMIT,
    MOST,
    NAME_LIMIT,
    SQL_LIMIT,
    SavedQuery,
    check_room,
    checked_description,
    checked_name,
    checked_sql,
    existing,
    named,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SLOW = SavedQuery(
    query_id=1, name="Slow flows", description="", sql="SELECT 1", who="ada", known_by="test", made_at=NOW
)


def test_a_name_has_single_spaces_and_is_free_whatever_its_case() -> None:
    assert checked_name("  Slow \n customers ", [SLOW]) == "Slow customers"
    with pytest.raises(RefusedError) as error:
        checked_name(" slow  FLOWS", [SLOW])
    assert str(error.value) == (
        "there is a saved query 'Slow flows' already, saved by ada on 2026-03-01 12:00 UTC; choose another name, or "
        "change that one"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (" \t", "the name of the query is missing"),
        ("x" * (NAME_LIMIT + 1), "the name has 81 characters; at most 80"),
        ("x\u202ey", "characters that cannot be seen"),
        ("x\0", "characters that cannot be seen"),
        ("\ud800", "characters that cannot be seen"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_reason(name: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        checked_name(name, [])


def test_sql_descriptions_and_their_number_have_limits() -> None:
    assert checked_sql("\n SELECT 1 \n") == "SELECT 1"
    assert checked_description(" what\nit  answers") == "what it answers"
    with pytest.raises(RefusedError, match="there is no SQL to save"):
        checked_sql("  ")
    with pytest.raises(RefusedError, match="the SQL has 20,001 characters; at most 20,000 can be saved"):
        checked_sql("x" * (SQL_LIMIT + 1))
    with pytest.raises(RefusedError, match="the description has 501 characters"):
        checked_description("x" * (DESCRIPTION_LIMIT + 1))
    check_room([SLOW] * (MOST - 1))
    with pytest.raises(RefusedError, match="there are 200 saved queries, and no more are kept"):
        check_room([SLOW] * MOST)


def test_a_query_is_found_by_its_name_and_the_nearest_is_named() -> None:
    assert named("SLOW flows ", [SLOW]) is SLOW
    assert existing("slow flows", [SLOW]) is SLOW
    assert named("x", [SLOW]) is None
    with pytest.raises(RefusedError, match="there is no saved query 'Slow flow'; did you mean 'Slow flows'"):
        existing("Slow flow", [SLOW])
    with pytest.raises(RefusedError, match=r"there is no saved query 'x'$"):
        existing("x", [])


def test_a_query_tells_who_changed_it_last() -> None:
    changed = SavedQuery(
        query_id=1,
        name="n",
        description="",
        sql="s",
        who="ada",
        known_by="test",
        made_at=NOW,
        changed_at=NOW + timedelta(hours=1),
        changed_by="bob",
        changed_known_by="test",
    )
    assert changed.last_text == "changed by bob on 2026-03-01 13:00 UTC"
