"""The wheel, installed into an empty environment: the demo and the dashboard run out of it from any folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page

from auditor.dashboard.site import APP
from tests import HOME
from tests.auditor.screens import chromium
from tests.servers import free_port, wait_for_port
from tests.waiting import wait_until

SOURCES = ("auditor", "probes", "checks", "demo", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AUDITOR_", "DEMO_", "PYTHON", "STREAMLIT_", "SLACK_"))
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that nothing is left beside them."""
    place = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (HOME / name).is_dir():
            shutil.copytree(HOME / name, place / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(HOME / name, place / "src" / name)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(place), "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=place / "src", env=CLEAN, check=True)
    (made,) = place.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`auditor` in an environment that holds the wheel, and what it depends on, but not this repository."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], env=CLEAN, check=True)
    # The libraries of the environment that runs the tests, without its links to this repository.
    installed = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    (installed / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A running demo: its address, and the line that points a shell at it."""

    address: str
    export: str


@pytest.fixture(scope="module")
def demo(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    empty = tmp_path_factory.mktemp("empty")
    process = subprocess.Popen(
        [program, "demo", "--port", "0"], cwd=empty, env=CLEAN, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if "export " in line:
            break
    address, export = re.search(r"http://127\.0\.0\.1:\d+", told), re.search(r"export .*", told)
    assert address, told
    assert export, told
    yield Demo(address=address[0], export=export[0])
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_context(color_scheme="light").new_page()


def opens(page: Page, address: str) -> None:
    """The first page shows, in our colours and not in Streamlit's."""
    page.goto(address)
    page.get_by_role("heading", name="Overview").wait_for(timeout=90_000)
    colour = page.get_by_test_id("stSidebar").evaluate("each => getComputedStyle(each).backgroundColor")
    assert colour == "rgb(244, 246, 250)"


def test_the_wheel_is_named_so_that_it_cannot_be_confused(wheel: Path) -> None:
    assert wheel.name.startswith("plumbline_auditor-")
    held = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "scripts/", "app.py"))]
    assert "auditor/map/presets/zendesk.yaml" in held
    assert "auditor/history/views.md" in held


def test_it_runs_out_of_the_wheel_and_not_out_of_the_repository(program: Path, tmp_path: Path) -> None:
    where = "import auditor, demo, probes, checks; print(auditor.__file__, demo.__file__)"
    python = program.with_name("python")
    done = subprocess.run([python, "-c", where], cwd=tmp_path, env=CLEAN, capture_output=True, text=True, check=True)
    assert str(HOME) not in done.stdout


@pytest.mark.timeout(300)
def test_the_demo_runs_in_an_empty_folder(demo: Demo, page: Page) -> None:
    opens(page, demo.address)


@pytest.mark.timeout(300)
def test_one_line_points_the_command_line_at_the_demo(demo: Demo, program: Path, tmp_path: Path) -> None:
    def run(words: str) -> subprocess.CompletedProcess[str]:
        line = f"{demo.export}; {program} {words}"
        return subprocess.run(["sh", "-c", line], cwd=tmp_path, env=CLEAN, capture_output=True, text=True)

    checked, asked, listed = run("check"), run("status --json"), run("record customer 1 --json")
    assert (checked.returncode, "valid" in checked.stdout) == (0, True), checked.stdout + checked.stderr
    assert '"customer_to_billing"' in asked.stdout, asked.stderr
    assert '"billing"' in listed.stdout, listed.stderr


@pytest.mark.timeout(300)
def test_the_dashboard_runs_from_any_folder(demo: Demo, program: Path, tmp_path: Path, page: Page) -> None:
    port = free_port()
    line = f"{demo.export}; exec {program} dashboard --port {port}"
    process = subprocess.Popen(["sh", "-c", line], cwd=tmp_path, env=CLEAN, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port, process, 120)
        opens(page, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(60)


def test_the_dashboard_without_a_map_starts_and_says_what_to_do(program: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log.txt"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [program, "dashboard", "--port", str(port)],
            cwd=tmp_path,
            env=CLEAN,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
    try:
        wait_for_port(port, process, 120)
        wait_until(lambda: "write one with `auditor init`, or in the browser" in log.read_text())
    finally:
        process.terminate()
        process.wait(60)


def test_the_repository_and_the_wheel_share_one_theme() -> None:
    served = APP.parent / ".streamlit" / "config.toml"
    assert (HOME / ".streamlit" / "config.toml").read_text() == served.read_text()
