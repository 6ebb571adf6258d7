"""How long people wait for the pages of the dashboard, in five browser windows at once, and what that does to memory.

A page is drawn when its title stands and Streamlit has run its script to the end. The history is that of `lens`. The
browsers share the cores with the server, so it is also told how long as many sessions without a browser wait, and how
much CPU time of the server a draw takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from auditor.dashboard import navigation
from benchmarks import page_sessions
from benchmarks.lens import installation
from benchmarks.report import emit, percentile, say
from tests import HOME
from tests.auditor.screens import a_demo, served_by

SESSIONS = 5
PAGES = {name: title for name, title in navigation.PAGES.items() if name not in {"demo", "setup"}}
LONGEST_MS = 120_000
EVERY_S = 10.0
"""How often memory is read."""

_DRAWN = "[data-testid=stApp][data-test-script-state=notRunning]"

_RERUN = """() => new Promise(done => {
    const app = document.querySelector('[data-testid=stApp]');
    const choice = app.querySelector('[data-testid=stSidebar]');
    const shown = () => choice.textContent + [...choice.querySelectorAll('input')].map(each => each.value);
    const before = shown(), began = performance.now();
    const asking = setInterval(() => {
        if (shown() === before || app.getAttribute('data-test-script-state') !== 'notRunning') return;
        clearInterval(asking);
        done(performance.now() - began);
    }, 5);
    history.pushState({}, '', location.pathname + '?refresh=off&range=6+h');
    window.dispatchEvent(new PopStateEvent('popstate'));
})"""
"""Asks for another time range, as the browser's way back does; answers how many milliseconds it took until the
sidebar shows it and Streamlit has run its script to the end."""


async def opened(page: Page, address: str, name: str) -> float:
    """Open a page as if for the first time; answers how many seconds it took."""
    begun_s = time.perf_counter()
    await page.goto(f"{address}/{'' if name == 'overview' else name}?refresh=off&range=24+h")
    await page.get_by_role("heading", name=PAGES[name], exact=True).wait_for(timeout=LONGEST_MS)
    await page.locator(_DRAWN).wait_for(timeout=LONGEST_MS)
    return time.perf_counter() - begun_s


async def windows(browser: Browser, sessions: int = SESSIONS) -> list[BrowserContext]:
    """Browser windows that share nothing."""
    return [await browser.new_context(viewport={"width": 1440, "height": 900}) for _ in range(sessions)]


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds of one page.

    Attributes:
        first, refresh: until it was drawn, and drawn again, in each window.
        server: CPU of the server for one of these draws, in each round.
    """

    first: list[float] = field(default_factory=list)
    refresh: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


async def measure(address: str, pid: int, rounds: int, sessions: int) -> dict[str, Waits]:
    """By page, how long all windows wait at once for the server of this process."""
    found = {name: Waits() for name in PAGES}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        contexts = await windows(browser, sessions)
        for context in contexts:  # what a browser keeps is fetched before
            page = await context.new_page()
            await opened(page, address, "overview")
            await page.close()
        for _ in range(rounds):
            for name in PAGES:
                pages = [await context.new_page() for context in contexts]
                before_s = _cpu_s(pid)
                found[name].first.extend(await asyncio.gather(*(opened(page, address, name) for page in pages)))
                runs = asyncio.gather(*(page.evaluate(_RERUN) for page in pages))
                found[name].refresh.extend(each / 1000 for each in await asyncio.wait_for(runs, LONGEST_MS / 1000))
                found[name].server.append((_cpu_s(pid) - before_s) / (2 * len(pages)))
                say(f"{name}: {found[name]}")
                for page in pages:
                    await page.close()
        await browser.close()
    return found


async def watch_memory(address: str, pid: int, minutes: float) -> list[tuple[float, float]]:
    """Pairs of seconds and MiB of the server while each window looks at a live page that refreshes every 2 s."""
    names = [name for name in PAGES if name != "query"]
    seen = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for number, context in enumerate(await windows(browser)):
            page = await context.new_page()
            await page.goto(f"{address}/{names[number % len(names)]}?refresh=2+s&range=24+h")
        begun_s = time.monotonic()
        while (passed_s := time.monotonic() - begun_s) < 60 * minutes:
            seen.append((passed_s, _resident_mib(pid)))
            await asyncio.sleep(EVERY_S)
        await browser.close()
    return seen


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slope(seen: Sequence[tuple[float, float]]) -> float:
    """MiB an hour over the second half, when caches are full."""
    half = seen[len(seen) // 2 :]
    per_s, _ = np.polyfit([at for at, _ in half], [mib for _, mib in half], 1)
    return float(per_s * 3600)


async def first_drift(address: str) -> float:
    """Seconds until the Overview of a demo shows that something differs."""
    begun_s = time.monotonic()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"{address}/?refresh=2+s")
        await page.get_by_text("foreign write").first.wait_for(timeout=LONGEST_MS)
        await browser.close()
    return time.monotonic() - begun_s


def _waits(address: str, pid: int, rows: int, asked: argparse.Namespace) -> bool:
    """Measure and tell how long people wait for every page."""
    rounds, good = 1 if asked.quick else 4, True

    def tell(name: str, what: str, took: list[float], goal: str) -> bool:
        return emit(
            "pages", f"{name}_{what}_p95", percentile(took, 0.95), "s", goal=goal, n=len(took),
            spread=(min(took), max(took)), rows=rows, sessions=asked.sessions, quick=asked.quick,
        )  # fmt: skip

    for name, (first, again) in asyncio.run(page_sessions.measure(address, PAGES, rounds, asked.sessions)).items():
        good &= tell(name, "first_without_browser", first, "< 1")
        good &= tell(name, "refresh_without_browser", again, "< 1")
    for name, waits in asyncio.run(measure(address, pid, rounds, asked.sessions)).items():
        good &= tell(name, "first", waits.first, "< 1")
        good &= tell(name, "refresh", waits.refresh, "< 1")
        good &= tell(name, "server_cpu", waits.server, "")
    return good


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 M rows, one round, half a minute of memory")
    parser.add_argument("--rows", type=int, help="rows of history; without it, 1 M and 10 M one after the other")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long memory is watched")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="how many windows wait at once")
    asked = parser.parse_args()
    good = True
    for rows in (asked.rows,) if asked.rows else (1_000_000,) if asked.quick else (1_000_000, 10_000_000):
        with tempfile.TemporaryDirectory() as place:
            file, workspace, ledger = installation(Path(place), rows)
            ledger.close()
            settings = {"AUDITOR_MAP": str(file), "AUDITOR_DATA": str(workspace.folder)}
            with served_by([str(HOME / "app.py")], settings) as (address, process):
                good &= _waits(address, process.pid, rows, asked)
                minutes = 0.5 if asked.quick else asked.minutes
                seen = asyncio.run(watch_memory(address, process.pid, minutes))
                say(f"memory: {[round(mib) for _, mib in seen]}")
                goal = "" if asked.quick else "< 10"
                good &= emit("pages", "memory_slope", slope(seen), "MiB/h", goal=goal, rows=rows, minutes=minutes)
    with tempfile.TemporaryDirectory() as place:
        begun_s = time.monotonic()
        with a_demo(Path(place)) as address:
            started_s = time.monotonic() - begun_s
            took_s = started_s + asyncio.run(first_drift(address))
            good &= emit("pages", "demo_to_first_drift", took_s, "s", goal="<= 60", started_s=round(started_s, 1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
