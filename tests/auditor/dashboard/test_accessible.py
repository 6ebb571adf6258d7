"""The pages for people who cannot see them well or use no mouse, and on a telephone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from auditor.dashboard import navigation
from auditor.dashboard.site import APP
from tests import HOME, engines
from tests.auditor.screens import chromium, served
from tests.stand import Stand
from tests.waiting import wait_until

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")

EXCEPT = {
    "list": "Streamlit puts a <div> around the links of each group of its sidebar, inside a <ul>",
    "listitem": "the same, seen from the links",
    "region": "Streamlit has no landmark around its toolbar and its hidden announcements",
    "landmark-one-main": "Streamlit's <section> with the page has a test id, and no role",
    "page-has-heading-one": "while a page is being drawn anew, its title is replaced",
}
"""Rules that are broken, and why."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard with records that differ, and an incident for each."""
    stand = Stand(tmp_path_factory.mktemp("accessible"))
    stand.clock.advance(-600)
    stand.agree(5)
    stand.sweep()
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.run("billing", "DELETE FROM customers WHERE id = 4")
    stand.clock.advance(300)
    stand.sweep()
    stand.audit_until(lambda: len(stand.ledger.incidents.rows(live_only=True, limit=5)) > 1)
    settings = {
        "AUDITOR_MAP": str(stand.map_file),
        "AUDITOR_DATA": str(stand.place / "var"),
        "AUDITOR_LEDGER": stand.ledger_url,
    }
    with served([str(HOME / "app.py")], settings) as running:
        yield running
    stand.close()


def opened(browser: Browser, address: str, name: str, **more: Any) -> Page:
    """A page, or with more of its address a part of it, once it is drawn."""
    page = browser.new_page(**more)
    name, _, part = name.partition("&")
    path = "" if name == "overview" else name
    page.goto(f"{address}/{path}?refresh=off&" + ("type=customer&key=3" if name == "record" else part))
    page.get_by_role("heading", name=navigation.PAGES[name], exact=True).wait_for(timeout=90_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=90_000)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=90_000)
    return page


SCHEME = "getComputedStyle(document.querySelector('.stApp')).colorScheme"

BESIDE = """() => [...document.querySelectorAll('[data-testid=stMain] *')]
    .filter(each => each.getBoundingClientRect().right > window.innerWidth + 1)
    .filter(each => !each.closest('[data-testid=stDataFrame], pre, [data-testid=stTable], svg, canvas'))
    .filter(each => !each.closest('.st-key-map-picture > *'))
    .filter(each => getComputedStyle(each).visibility !== 'hidden')
    .map(each => each.outerHTML.slice(0, 150))"""
"""What reaches beyond the right edge of the screen, and cannot be moved by itself."""


def broken_rules(page: Page) -> list[tuple[str, int, list[str]]]:
    """The rules of axe that a page breaks, how often, and what breaks them; Streamlit colours code and the shortcuts
    in buttons by itself."""
    found = page.evaluate(
        "rules => axe.run({exclude: ['[data-testid=stCode]', 'kbd']}, {runOnly: {type: 'tag', values: rules}})",
        list(RULES),
    )
    return [
        (
            each["id"],
            len(each["nodes"]),
            [f"{one['html'][:160]} {one['failureSummary'][:200]}" for one in each["nodes"][:2]],
        )
        for each in found["violations"]
        if each["id"] not in EXCEPT
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*navigation.PAGES, "incidents&list=Silences"])
def test_a_page_breaks_no_rule_in_either_scheme_and_fits_a_telephone(
    name: str, browser: Browser, address: str
) -> None:
    page = opened(browser, address, name, color_scheme="light", viewport={"width": 1440, "height": 1000})
    engine = engines.AXE.found()
    if engine is not None:
        page.evaluate((engine / "package" / "axe.min.js").read_text(encoding="utf-8"))
        assert broken_rules(page) == []
        page.emulate_media(color_scheme="dark")
        wait_until(lambda: page.evaluate(SCHEME) == "dark")
        assert broken_rules(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(lambda: page.evaluate(BESIDE) == [], what=str(page.evaluate(BESIDE)))
    page.close()
    if engine is None:
        pytest.skip("axe-core cannot be had here; the page fits a telephone")


@pytest.mark.timeout(300)
def test_the_sidebar_is_reached_and_used_by_the_keyboard(browser: Browser, address: str) -> None:
    page = opened(browser, address, "overview", viewport={"width": 1440, "height": 1000})
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip().endswith("Drift"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Drift", exact=True).wait_for(timeout=90_000)
    page.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "opens", "there"),
    [
        ("incidents", r"Open incident \d", r"/incidents\?.*id=\d"),
        ("drift", r"Open customer \d", r"/record\?.*key=\d"),
    ],
)
def test_what_a_row_is_about_is_opened_by_the_keyboard(
    name: str, opens: str, there: str, browser: Browser, address: str
) -> None:
    page = opened(browser, address, name, viewport={"width": 1440, "height": 1000})
    found = page.get_by_role("button", name=re.compile(opens)).first
    page.locator("[data-testid=stDataFrame] canvas").first.focus()
    page.keyboard.press("ArrowDown")
    for _ in range(5):  # the row is selected, or no longer
        page.keyboard.press("Shift+Space")
        with suppress(TimeoutError):
            found.wait_for(timeout=10_000)
            break
    found.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(there), timeout=90_000)
    page.close()


BUTTONS = """
import streamlit as st
from auditor.dashboard.site import APP
st.html(APP.with_name("look.css"))
for place in (st, st.sidebar, st.container(border=True)):
    for kind in ("primary", "secondary", "tertiary"):
        name = f"{kind} {place is st.sidebar} {place is st}"
        place.button(f"button {name}", type=kind, icon=":material/save:")
        place.link_button(f"link {name}", "https://x.example", type=kind)
        place.download_button(f"download {name}", "x", type=kind)
        with place.form(name):
            st.form_submit_button(f"submit {name}", type=kind)
    place.segmented_control(f"segments {name}", ["a", "b"], default="a")
    place.pills(f"pills {name}", ["a", "b"], default="a")
    place.popover(f"popover {name}").write("x")
"""

CONTRAST = """each => {
    const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
    const behind = []
    for (let one = each; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor)
    const drawn = colours => {
        context.clearRect(0, 0, 1, 1)
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1) }
        const parts = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }
    const [dark, light] = [drawn(behind), drawn([...behind, getComputedStyle(each).color])].sort((a, b) => a - b)
    return (light + 0.05) / (dark + 0.05)
}"""
"""The contrast of an element's text to all that is drawn behind it."""

NO_CLICKS = """document.addEventListener('click', event => {
    event.stopPropagation()
    event.preventDefault()
}, true)"""

TEXT = 4.5
"""The least contrast of text, WCAG 2.2, 1.4.3."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_button_can_be_read_under_the_pointer_pressed_and_with_the_focus(
    scheme: Any, browser: Browser, tmp_path: Path
) -> None:
    script = tmp_path / "buttons.py"
    script.write_text(BUTTONS)
    copytree(APP.parent / ".streamlit", tmp_path / ".streamlit")
    faint: dict[tuple[str, str], float] = {}
    with served([str(script)], {"PYTHONPATH": str(HOME)}) as address:
        page = browser.new_page(color_scheme=scheme, viewport={"width": 1440, "height": 3000})
        page.goto(address)
        expect(page.get_by_test_id("stPopover")).to_have_count(3)
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        assert page.evaluate(SCHEME) == scheme
        page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
        page.evaluate(NO_CLICKS)
        places = [f"[data-testid={place}] {kind}" for place in ("stMain", "stSidebar") for kind in ("button", "a")]
        named = page.locator(", ".join(places)).filter(has=page.locator("p"))
        expect(named).to_have_count(3 * 17)
        for button in named.all():
            text = button.locator("p").first
            seen = {}
            button.hover()
            seen["under the pointer"] = text.evaluate(CONTRAST)
            page.mouse.down()
            seen["pressed"] = text.evaluate(CONTRAST)
            page.mouse.move(0, 0)
            page.mouse.up()
            button.focus()
            seen["with the focus"] = text.evaluate(CONTRAST)
            button.blur()
            seen["at rest"] = text.evaluate(CONTRAST)
            faint |= {(button.inner_text(), state): value for state, value in seen.items() if value < TEXT}
        page.close()
    assert faint == {}
