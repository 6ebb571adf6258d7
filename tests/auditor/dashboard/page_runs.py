"""Pages drawn without a browser, as someone sees them, what they show, and what makes them show something."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from unittest.mock import patch

import pandas as pd
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from auditor.audit.queue_audit import QueueAuditor
from auditor.dashboard import acting, navigation
from auditor.dashboard.access import LOCAL, Asks, Onlooker, Person
from auditor.dashboard.installations import forget
from probes.registry import open_queue_probe
from tests.stand import Stand

PAGES = list(navigation.PAGES)


@cache
def components() -> BidiComponentManager:
    """Streamlit's components, for which it would search all installed packages for every page that is drawn."""
    made = BidiComponentManager()
    made.discover_and_register_components(start_file_watching=False)
    return made


ONLOOKER = Onlooker(why="Whoever asks here may only look.")


def app_of(code: str, asks: Asks = ONLOOKER) -> AppTest:
    """An app that is this script, as someone sees it."""
    app = AppTest.from_string(code, default_timeout=100)
    app._bidi_component_manager = components()
    draw = app._run

    def as_seen(*args: Any, **more: Any) -> AppTest:
        with patch.object(acting, "sender", lambda: vars(app)["asks"]):
            return draw(*args, **more)

    app._run = as_seen  # type: ignore[method-assign]
    seat(app, asks)
    return app


def seat(app: AppTest, asks: Asks) -> None:
    """Let someone else look at the app from now on."""
    vars(app)["asks"] = asks


def run(page: str, **query: str | list[str]) -> AppTest:
    return seen(page, ONLOOKER, **query)


def seen(page: str, asks: Asks, **query: str | list[str]) -> AppTest:
    """A page as someone sees it."""
    forget()
    code = f"from auditor.dashboard import navigation\nnavigation.run(first={page!r})\n"
    app = app_of(code, asks)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def local(page: str, kept: Mapping[str, Any] | None = None, **query: str) -> AppTest:
    """A page as the guard lets a local operator see it, with the name that they enter.

    Args:
        kept: what the session remembers.
    """
    code = (
        "from auditor.dashboard import components\n"
        "from auditor.dashboard.access import LOCAL, Person\n"
        f"from auditor.dashboard.pages import {page} as page\n"
        "import streamlit as st\n"
        "from auditor.dashboard import navigation\n"
        "for name, value in navigation._SHARED.items():\n"
        "    st.session_state[name] = value\n"
        "person = Person(name=None, known_by=LOCAL)\n"
        "components.framed('x', lambda data, since: page.draw(data, since, person), live=False)\n"
    )
    app = app_of(code, Person(name=None, known_by=LOCAL))
    for name, value in (kept or {}).items():
        app.session_state[name] = value
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def text(app: AppTest) -> str:
    headings = [*app.title, *app.header, *app.subheader]
    parts = [*headings, *app.caption, *app.info, *app.warning, *app.error, *app.markdown, *app.code]
    return "\n".join(str(each.value) for each in [*parts, *app.page_link])


def links(app: AppTest) -> list[str]:
    return [str(each.label) for each in app.page_link]


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    return next(each.value for each in app.dataframe if column in each.value.columns)


def signs(chips: pd.Series) -> list[str]:
    return [text for each in chips for text in each]


def drift(stand: Stand) -> None:
    """One record that differs, for certain."""
    stand.clock.advance(-1.1)
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', 'no')")
    stand.audit()
    stand.audit(after_s=2)
    stand.clock.advance(1.1)
    stand.audit(after_s=2)


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def read_queue(stand: Stand, name: str = "dead") -> None:
    """Audit a queue once, as the daemon does."""
    settings = stand.map.queues["to_billing", name]
    queue = QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue=name,
        settings=settings,
        probe=open_queue_probe(settings, stand.map.systems["billing"]),
        ledger=stand.ledger,
    )
    queue.audit(stand.clock.now())
    queue.close()
