"""The dashboard in a real browser: serving a script, and clicking what is drawn on a canvas."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator, Page, TimeoutError, expect, sync_playwright

from auditor.dashboard.serving import environment
from tests import HOME
from tests.servers import free_port, wait_for_port

expect.set_options(timeout=90_000)  # a busy machine takes its time to draw a page


@contextmanager
def served(script: list[str], settings: Mapping[str, str]) -> Iterator[str]:
    """The address of a script that Streamlit serves."""
    with served_by(script, settings) as (address, _):
        yield address


@contextmanager
def served_by(script: list[str], settings: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a script that Streamlit serves, and the process that does."""
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    command = [sys.executable, "-m", "streamlit", "run", "--server.port", str(port), *script]
    process = subprocess.Popen(command, cwd=HOME, env=environment({**clean, **settings}), stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port, process, 120)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def a_demo(place: Path) -> Iterator[str]:
    """The address of a running demo; it must stop everything within a few seconds of Ctrl-C."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_", "SLACK_"))
    }
    command = [sys.executable, "-m", "auditor", "demo", "--data", str(place), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HOME, env=clean)
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            address = found[0]
            break
    assert address, "the demo did not start"
    try:
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
                *options,
            ],
        )
        for name in ("new_context", "new_page"):
            setattr(made, name, _patient(getattr(made, name)))
        yield made
        made.close()


def _patient(make: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a page, or what pages are made in, with the patience of everything else here."""

    def made(**options: Any) -> Any:
        one = make(**options)
        one.set_default_timeout(90_000)
        return one

    return made


def click_cell(page: Page, table: str, *, row: int, until: Locator, across: Sequence[int] = (20,)) -> None:
    """Click what stands in a column of a table, which is a canvas, until something shows.

    A canvas takes a click only once it has drawn what is under the mouse, and nothing tells when that is.

    Args:
        table: how its description begins.
        across: where the column may be, in pixels from its left edge; by default it is the first one.
    """
    frame = page.locator(f"[data-testid=stDataFrame]:has([aria-label^='{table}'])").first
    frame.wait_for(timeout=90_000)
    for attempt in range(20):
        aside = across[attempt % len(across)]
        try:
            frame.scroll_into_view_if_needed(timeout=3_000)
            box = frame.bounding_box(timeout=3_000)
        except Error:  # it is being drawn anew, or is gone because the click before was heard late
            if until.is_visible():
                return
            continue
        if box is None:
            continue
        page.mouse.move(box["x"] + aside + 2, box["y"] + 36 + 35 * row + 18)
        page.mouse.move(box["x"] + aside, box["y"] + 36 + 35 * row + 17)
        try:
            page.mouse.click(box["x"] + aside, box["y"] + 36 + 35 * row + 17)
            until.wait_for(timeout=3_000)
        except TimeoutError:
            continue
        return
    until.wait_for(timeout=90_000)
