"""The demo in headless Chromium: Overview to Drift to Record, in light and dark, without any outside request."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, TimeoutError, expect

from auditor.dashboard import navigation
from auditor.dashboard.map_chart import SCALES
from auditor.map.diagram import placed
from auditor.map.loader import load_map
from auditor.scenarios import Stage, StageError
from demo.scenarios import SCENARIOS
from tests import HOME
from tests.auditor.screens import a_demo, chromium, click_cell
from tests.waiting import wait_until

DEMO_MAP = HOME / "auditor" / "demo_map.yaml"
FIRST_DRIFT_WITHIN_S = 180

RECORD_COLUMN = range(170, 420, 25)
"""Where the records of the Drift page's table may stand, after two columns of signs, in pixels from its left edge."""

MENU_COLUMN = range(1040, 1110, 15)
"""Where the menus of the Incidents page's table may stand."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo keeps everything."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[str]:
    """The address of a running demo; it must stop everything within a few seconds of Ctrl-C."""
    with a_demo(folder) as address:
        yield address
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1200}, color_scheme=request.param)
    made = context.new_page()
    outside: list[str] = []
    errors: list[str] = []
    made.on("request", lambda r: None if _inside(r.url) else outside.append(r.url))
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    yield made
    context.close()
    assert outside == []
    assert errors == []


def _inside(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


@contextmanager
def broken(page: Page, folder: Path) -> Iterator[None]:
    """Break something on the page and mend it, then break it until the end, however long a busy machine takes."""
    mend = page.get_by_role("button", name="Mend it now")
    break_it = page.get_by_role("button", name="Break it").nth(list(SCENARIOS).index("paused-consumer"))
    expect(break_it.or_(mend).first).to_be_visible(timeout=90_000)
    expect(break_it).to_be_enabled(timeout=180_000)
    break_it.click()
    mend.click(timeout=90_000)
    expect(break_it).to_be_enabled(timeout=90_000)
    stage = Stage.in_folder(folder / "company")

    def held() -> bool:
        """The demo plays something by itself soon after its start; what plays is mended first."""
        try:
            stage.play("paused-consumer", held=True)
        except StageError:
            stage.mend()
            return False
        return True

    wait_until(held)
    try:
        yield
    finally:
        stage.mend()


@pytest.mark.timeout(600)
def test_from_overview_to_drift_to_record(demo: str, folder: Path, page: Page) -> None:
    page.goto(f"{demo}/demo")
    page.get_by_role("heading", name="Demo", exact=True).wait_for(timeout=90_000)
    expect(page.get_by_text("Same situation, two outcomes")).to_be_visible(timeout=90_000)
    with broken(page, folder):
        _from_overview_to_record(page, demo)


def _from_overview_to_record(page: Page, demo: str) -> None:
    page.goto(f"{demo}/?range=24+h")
    page.get_by_role("heading", name="Overview").wait_for(timeout=90_000)
    cause = page.get_by_role("link", name=re.compile(r"(late|duplicate|orphan|lost|foreign write)$")).first
    expect(cause).to_be_visible(timeout=FIRST_DRIFT_WITHIN_S * 1000)
    open_a_menu(page, demo)
    click_a_bar(page, demo)
    page.goto(f"{demo}/?range=24+h")
    cause.click(timeout=90_000)
    page.get_by_role("heading", name="Drift").wait_for(timeout=90_000)
    expect(page.get_by_text(re.compile(r"\d+ records? match"))).to_be_visible(timeout=90_000)
    expect(page).to_have_url(re.compile("cause="))
    expect(page).to_have_url(re.compile(r"range=24(\+|%20)h"))
    click_cell(
        page,
        "Records that differ",
        row=0,
        across=RECORD_COLUMN,
        until=page.get_by_role("heading", name="Record", exact=True),
    )
    expect(page).to_have_url(re.compile(r"range=24(\+|%20)h"))
    expect(page).to_have_url(re.compile(r"key=\w+"))
    assert len(page.context.pages) == 1
    page.goto(f"{demo}/record?type=customer&key=cus_00042")
    page.get_by_role("heading", name="Record").wait_for(timeout=90_000)
    expect(page.get_by_text("crm", exact=True).first).to_be_visible(timeout=90_000)
    expect(page.get_by_text(re.compile("customer cus_00042"))).to_be_visible(timeout=90_000)
    there = page.get_by_role("link", name="Open in billing")
    expect(there).to_have_attribute("href", re.compile(r"^http://127\.0\.0\.1:\d+/billing/customers\?ids=cus_00042$"))
    expect(there).to_have_attribute("target", "_blank")
    expect(there).to_have_attribute("rel", re.compile("noopener|noreferrer"))


def open_a_menu(page: Page, demo: str) -> None:
    """A verb in the menu of an incident's row opens a dialog, which a redraw of the page leaves open."""
    page.goto(f"{demo}/incidents?refresh=2+s")
    expect(page.get_by_text("Select rows to acknowledge")).to_be_visible(timeout=90_000)
    verb = page.get_by_text("Snooze", exact=True).locator("visible=true")
    click_cell(page, "Incidents", row=0, across=MENU_COLUMN, until=verb)
    verb.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Note").locator("visible=true").fill("a note")
    page.wait_for_timeout(5_000)  # longer than two redraws would take
    expect(dialog.get_by_label("Note").locator("visible=true")).to_have_value("a note")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def click_a_bar(page: Page, demo: str) -> None:
    """A bar of the Overview leads to the records that differed then, and the sidebar back to the range before."""
    page.goto(f"{demo}/?refresh=off&range=6+h")
    click_a_mark(page, page.locator(".bars .point path").last)
    page.get_by_role("button", name="Back to the last 6 h").click(timeout=90_000)
    expect(page).to_have_url(re.compile(r"range=6(\+|%20)h"), timeout=90_000)
    expect(page).not_to_have_url(re.compile("from="))


def click_a_mark(page: Page, mark: Locator) -> None:
    """What is clicked in a chart leads to the records that differed then."""
    mark.wait_for(state="attached", timeout=90_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
    box = _scrolled_to(page, mark)
    page.mouse.move(box["x"] + box["width"] / 2 - 1, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_role("heading", name="Drift").wait_for(timeout=90_000)
    expect(page.get_by_text(re.compile(r"\d+ records? match|No record matches"))).to_be_visible(timeout=90_000)
    expect(page).to_have_url(re.compile(r"from=\d{4}-\d\d-\d\dT.*to=\d{4}"))


def _scrolled_to(page: Page, mark: Locator) -> FloatRect:
    """Where a mark is on the screen, once what is above it has got its height and moves it no more."""
    assert page.viewport_size is not None
    height, before, box = page.viewport_size["height"], None, None
    while box is None or box != before or not 0 <= box["y"] <= height - box["height"]:
        mark.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        before, box = box, mark.bounding_box()
    return box


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("path", "hint"), [("sla", "Click a day"), ("lag", "Click an hour")])
def test_a_day_and_an_hour_lead_to_what_differed_then(demo: str, page: Page, path: str, hint: str) -> None:
    page.goto(f"{demo}/{path}?refresh=off")
    expect(page.get_by_text(hint)).to_be_visible(timeout=90_000)
    charts = page.locator("[data-testid=stPlotlyChart]").filter(has=page.locator(".heatmaplayer image"))
    click_a_mark(page, charts.first.locator(".scatterlayer .point").last)
    expect(page).to_have_url(re.compile(r"flow=\w+_to_\w+"))


@pytest.mark.timeout(600)
def test_a_record_is_read_again_by_the_auditor_when_a_person_asks(demo: str, page: Page) -> None:
    page.goto(f"{demo}/record?type=customer&key=cus_00042")
    page.get_by_text("Recheck now", exact=True).click(timeout=90_000)
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Your name").press("Tab")
    page.get_by_role("button", name="Recheck 1 record now").click()
    expect(page.get_by_text(re.compile("asked for and not read yet|All that was asked for was read"))).to_be_visible(
        timeout=90_000
    )
    expect(page.get_by_text("All that was asked for was read")).to_be_visible(timeout=90_000)
    page.get_by_text("Propose a repair", exact=True).click()
    page.get_by_role("button", name="Propose repair").click()
    expect(page.get_by_text(re.compile(r"Nothing to repair|\d proposals?, "))).to_be_visible(timeout=90_000)


@pytest.mark.timeout(600)
def test_every_page_is_drawn_without_an_error(demo: str, page: Page) -> None:
    first, *others = navigation.PAGES  # the first has no name of its own in its address
    assert first == "overview"
    for path in ("", *others):
        page.goto(f"{demo}/{path}")
        page.locator("h1").first.wait_for(timeout=90_000)
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
        expect(page.get_by_text("could not be drawn")).to_have_count(0)
        expect(page.get_by_text("Page not found")).to_have_count(0)


@pytest.mark.timeout(600)
def test_a_query_is_opened_run_drawn_saved_and_found_again(demo: str, page: Page) -> None:
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    name = f"Audits by flow, {'dark' if dark else 'light'}"
    sql = "SELECT flow, count(*) AS audits FROM probe_runs GROUP BY ALL"
    page.goto(f"{demo}/query?sql={quote(sql)}")
    page.get_by_text("This query comes from a link").wait_for(timeout=90_000)
    editor = page.get_by_role("textbox", name="SQL")
    expect(editor).to_have_value(sql)
    answered = page.get_by_text(re.compile(r"\d rows? in"))
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
    expect(answered).to_have_count(0)
    editor.press("Control+End")
    editor.press_sequentially(" ORDER BY flow")
    for _ in range(3):  # a page that has lost its connection for a moment takes no keys
        editor.press("Control+Enter")
        with suppress(TimeoutError):
            answered.wait_for(timeout=40_000)
            break
    expect(answered).to_be_visible()
    expect(page.get_by_text("This query comes from a link")).to_have_count(0)
    expect(page).to_have_url(re.compile("ORDER(\\+|%20)BY(\\+|%20)flow"))
    expect(page.locator("[data-testid=stPlotlyChart]")).to_be_visible(timeout=90_000)
    with page.expect_download() as started:
        page.get_by_role("button", name="Export CSV").click()
    assert Path(started.value.path()).read_text().startswith("flow,audits")
    page.get_by_role("button", name="Save").first.click()
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save for everyone").click()
    expect(page.get_by_text("saved by ada")).to_be_visible(timeout=90_000)
    page.get_by_role("button", name=re.compile("Clear$")).click()
    expect(editor).to_have_value("", timeout=90_000)
    page.get_by_role("tab", name="Saved").click()
    click_cell(page, "Saved queries", row=0, until=page.get_by_text("saved by ada"))
    expect(editor).to_have_value(f"{sql} ORDER BY flow")
    page.get_by_role("tab", name="History").click()
    page.get_by_role("button", name=re.compile("Clear$")).click()
    expect(editor).to_have_value("", timeout=90_000)
    filled = page.locator("textarea:not(:placeholder-shown)")
    click_cell(page, "Queries of this session", row=0, across=range(180, 380, 25), until=filled)
    expect(editor).to_have_value(f"{sql} ORDER BY flow")


@pytest.mark.timeout(600)
def test_a_click_on_the_map_shows_what_is_known_of_a_flow(demo: str, page: Page, tmp_path: Path) -> None:
    page.goto(f"{demo}/map")
    picture = page.locator("[data-testid=stEChartsChart] canvas").first
    picture.wait_for(timeout=90_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
    expect(page.get_by_text("Click a flow, a system or a consumer")).to_be_visible(timeout=90_000)
    layout = placed(load_map(DEMO_MAP, {"DEMO_COMPANY": "http://127.0.0.1:1", "DEMO_FOLDER": str(tmp_path)}))
    label = layout.flows["customer_to_billing"].label
    box = picture.bounding_box()
    assert label is not None
    assert box is not None
    fits = min(box["width"] / layout.width, box["height"] / layout.height)
    scale = max(each for each in SCALES if each <= fits)
    picture.click(
        position={
            "x": box["width"] / 2 + (label.x - layout.width / 2) * scale,
            "y": box["height"] / 2 + (label.y - layout.height / 2) * scale,
        }
    )
    expect(page.get_by_text("In the map")).to_be_visible(timeout=90_000)
    expect(page).to_have_url(re.compile("show=flow(\\+|%20)customer_to_billing"))
