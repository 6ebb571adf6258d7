"""The stops of `docs/tour.md`, at a demo in which a consumer has stopped, and their pictures.

With `TOUR=docs` in the environment the pictures are written to `docs/tour`, otherwise beside the test's own files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from auditor.ledger import Ledger
from auditor.scenarios import Stage
from auditor.workspace import Workspace
from tests import HOME
from tests.auditor.screens import a_demo, chromium
from tests.ledgers import rows
from tests.waiting import wait_until

PICTURES = HOME / "docs" / "tour"
WIDE, HIGH = 1440, 1010
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One page of the tour.

    Attributes:
        address: with `{incident}`, `{key}` and the like for what the scenario broke.
        shows: what can be read on it.
        lacks: what cannot.
        high: its picture, in pixels.
    """

    address: str
    shows: str
    lacks: str = "Traceback"
    high: int = HIGH


STOPS = {
    "demo": Stop(
        address="demo",
        shows=r"OPEN\] customer_to_billing, .*no consumer is reading",
        lacks=r"\[RESOLVED\]",
        high=1340,
    ),
    "overview": Stop(address="", shows="Who is affected right now"),
    "incident": Stop(address="incidents?id={incident}", shows="Timeline", high=1340),
    "drift": Stop(address="drift?flow=customer_to_billing", shows="records? match"),
    "record": Stop(address="record?type=customer&key={key}", shows="customer {key}"),
    "map": Stop(address="map?show=flow+customer_to_billing", shows="In the map"),
}
"""In the order of the tour, by the name of the picture."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@pytest.fixture
def broken(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a demo whose billing gets nothing any more, and what is wrong in it."""
    with a_demo(folder) as address:
        stage = Stage.in_folder(folder / "company")
        wait_until(lambda: stage.programme().last is not None, WITHIN_S)
        ledger = Workspace.at(folder).ledger()
        wait_until(lambda: not ledger.incidents.rows(live_only=True, limit=1), WITHIN_S)
        wait_until(lambda: not {"pending", "sending"} & {each["state"] for each in rows(ledger, "alerts")}, WITHIN_S)
        playing = stage.play("paused-consumer", held=True).playing
        assert playing is not None
        begun_at = playing.begun_at
        wait_until(lambda: any(each.received_at > begun_at for each in stage.messages()), WITHIN_S)
        wait_until(lambda: _late(ledger), WITHIN_S)
        (incident,) = ledger.incidents.rows(live_only=True, limit=1)
        yield address, {"incident": str(incident["id"]), "key": _late(ledger)[0]}
        ledger.close()


def _late(ledger: Ledger) -> list[str]:
    return [str(each["key"]) for each in ledger.findings.divergent("customer_to_billing", ["late"], 5)]


def settled(page: Page) -> None:
    """Wait until all of the page is drawn, and its animations are over."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
    for unfinished in ("stSkeleton", "stSpinner"):
        expect(page.locator(f"[data-testid={unfinished}]")).to_have_count(0, timeout=90_000)
    wait_until(lambda: page.evaluate("document.getAnimations().every(each => each.playState !== 'running')"))


@pytest.mark.browser
@pytest.mark.timeout(1200)
def test_every_stop_shows_what_is_wrong(broken: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    address, names = broken
    place = PICTURES if os.environ.get("TOUR") == "docs" else tmp_path
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
        for name, stop in STOPS.items():
            page.set_viewport_size({"width": WIDE, "height": stop.high})
            page.goto(f"{address}/{stop.address.format(**names)}")
            expect(page.get_by_text(re.compile(stop.shows.format(**names))).first).to_be_visible(timeout=90_000)
            settled(page)
            expect(page.get_by_text(re.compile(stop.lacks))).to_have_count(0)
            page.screenshot(path=place / f"{name}.png")
            assert (place / f"{name}.png").stat().st_size > 20_000


def test_the_tour_shows_every_picture_once_and_in_order() -> None:
    told = (HOME / "docs" / "tour.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(tour/([a-z]+)\.png\)", told) == list(STOPS)
    assert sorted(each.stem for each in PICTURES.glob("*.png")) == sorted(STOPS)
