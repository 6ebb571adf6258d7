"""A stranger sees no page, and a viewer does not act on any: every page and every act."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from streamlit.testing.v1 import AppTest

from auditor.conflicts import decisions
from auditor.dashboard import acting, navigation, rechecking
from auditor.dashboard.access import LOCAL, Onlooker, Person, Stranger
from auditor.desk.desk import Desk
from auditor.desk.shelf import Shelf
from auditor.scenarios import Stage
from checks.escalation import RefusedError
from demo.company import Company
from tests import HOME
from tests.auditor.dashboard.page_runs import PAGES, button, drift, local, seat, seen, text
from tests.auditor.test_scenarios import performing
from tests.demo.test_company import company
from tests.stand import Stand

__all__ = ["company"]

STRANGER = Stranger(why="Nobody has signed in here.")
VIEWER = Onlooker(why="bob is not one of the operators.", name="bob")
ADA = Person(name="ada@example.com", known_by="signed in, by x-forwarded-user")

INCIDENTS = ["Acknowledge", "Snooze", "Assign", "Add comment", "Expect them", "Resolve"]
SEVERAL = ["Acknowledge 1 incident", "Snooze 1 incident", "Assign 1 incident"]
SILENCES = ["Add silence", "End 1 silence"]
CONFLICTS = ["Decide", "Defer", "Assign", "Add comment"]
SAVING = ["Save for everyone", "Save changes", "Save as new", "Delete"]
RECHECKING = ["Recheck 1 record now"]
PLAYING = ["Break it", "Play it prevented", "Mend it now"]
ACTS = {*INCIDENTS, *SEVERAL, *SILENCES, *CONFLICTS, *SAVING, *RECHECKING, *PLAYING}
"""The buttons that do something about what other people see."""

MAKERS = {"Desk", "Shelf", "ask"}
ENTRIES = {"act", "play", "mend", "first_verdicts"}
"""What those buttons call: whatever these make, and these methods."""

ONE = {"incidents": {"id": "1"}, "conflicts": {"conflict": "1"}, "record": {"type": "customer", "key": "3"}}
"""What an address names so that a page shows one case with everything that can be done about it."""


class ActedError(Exception):
    """An act was let through."""


@contextmanager
def no_acts() -> Iterator[None]:
    """Whatever would act fails instead."""

    def acted(*_: Any, **__: Any) -> None:
        raise ActedError

    with (
        patch.object(Desk, "__init__", acted),
        patch.object(Shelf, "__init__", acted),
        patch.object(decisions, "act", acted),
        patch.object(Stage, "play", acted),
        patch.object(Stage, "mend", acted),
        patch.object(rechecking, "ask", acted),
    ):
        yield


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_sees_no_page(page: str, watched: Stand) -> None:
    drift(watched)
    app = seen(page, STRANGER, **ONE.get(page, {}))
    assert not app.exception
    assert [each.value for each in app.title] == ["Plumbline"]
    assert text(app) == f"Plumbline\n{STRANGER.why}"
    assert not app.button
    assert not app.dataframe
    assert not app.sidebar.children


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_sees_every_page_and_acts_on_none(page: str, disputed: Stand) -> None:
    save_a_query(disputed)
    app = seen(page, VIEWER, **ONE.get(page, {}))
    assert not app.exception
    assert [each.value for each in app.title] != ["Plumbline"]
    assert "bob (viewer)" in "\n".join(each.value for each in app.sidebar.caption)
    assert [each.label for each in app.button if each.label in ACTS and not each.disabled] == []


def save_a_query(stand: Stand) -> None:
    Shelf(stand.ledger, who="ada", known_by="test", check=lambda _: None).save("x", "SELECT 1")


def drawn(page: str, query: dict[str, str]) -> AppTest:
    """A page as a local operator sees it who has entered a name and ticked every box."""
    app = local(page, None, **query)
    app.text_input(key="who").set_value("ada").run()
    for box in app.checkbox:
        box.check()
    return app


@pytest.mark.parametrize(
    ("page", "query", "labels"),
    [
        ("incidents", {"id": "1"}, INCIDENTS),
        ("conflicts", {"conflict": "1"}, CONFLICTS),
        ("query", {"sql": "SELECT 1"}, ["Save for everyone"]),
        ("query", {"saved": "1"}, ["Save changes", "Save as new", "Delete"]),
    ],
)
def test_a_button_that_is_still_there_does_nothing_for_a_viewer(
    page: str, query: dict[str, str], labels: list[str], disputed: Stand
) -> None:
    save_a_query(disputed)
    with no_acts():
        for label in labels:
            app = drawn(page, query)
            seat(app, VIEWER)
            button(app, label).click().run()
            assert not app.exception, label
            assert VIEWER.why in text(app), label
            app = drawn(page, query)
            button(app, label).click().run()
            assert len(app.exception) == 1, label  # an operator's press does come to the act


def test_a_scenario_is_not_played_by_a_viewer(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    with performing(company) as address, no_acts():
        monkeypatch.setenv(navigation.COMPANY, address)
        for label in ("Break it", "Play it prevented"):
            app = local("demo")
            seat(app, VIEWER)
            button(app, label).click().run()
            assert not app.exception, label
            assert VIEWER.why in text(app), label
        app = local("demo")
        button(app, "Break it").click().run()
        assert len(app.exception) == 1


def test_an_act_is_signed_by_whoever_signed_in() -> None:
    with patch.object(acting, "sender", lambda: ADA):
        assert acting.signature(ADA) == ("ada@example.com", "signed in, by x-forwarded-user")
        with pytest.raises(RefusedError, match="enter your name"):
            acting.signature(Person(name="", known_by=LOCAL))
    for other in (VIEWER, STRANGER):
        with patch.object(acting, "sender", return_value=other), pytest.raises(RefusedError, match=other.why):
            acting.signature(ADA)


def test_every_act_asks_first() -> None:
    """Wherever a page calls what acts, the same module asks who does."""
    calling = {}
    for file in (HOME / "auditor" / "dashboard").rglob("*.py"):
        tree = ast.parse(file.read_text())
        named = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        reached = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
        if MAKERS & named or ENTRIES & reached:
            calling[file.name] = bool(reached & {"signature", "confirmed"})
    assert calling.pop("data.py") is False  # it only hands on
    assert calling == dict.fromkeys(
        (
            "conflicts.py",
            "demo.py",
            "incident_acts.py",
            "rechecking.py",
            "saving.py",
            "setup_verdicts.py",
            "silences.py",
        ),
        True,
    )


def test_every_part_that_is_drawn_alone_asks_again() -> None:
    """A fragment is drawn without the page around it, long after the page asked who views it."""
    lacking = []
    for file in (HOME / "auditor" / "dashboard").rglob("*.py"):
        text_of = file.read_text()
        if "st.fragment" in text_of and "acting.leave_if_ended()" not in text_of:
            lacking.append(file.name)
    assert lacking == []
