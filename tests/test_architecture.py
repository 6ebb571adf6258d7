"""The architecture page tells of the rooms that exist, in the order that the import contract enforces."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests import HOME
from tests.test_docs import PAGES

PAGE = HOME / "docs" / "architecture.md"
FOLDERS = ("auditor", "probes", "checks", "demo", "benchmarks", "scripts", "tests", "docs")
ROOMS = "The rooms, from the top down"


def contract() -> list[list[str]]:
    """Names of the rooms by layer, from the top down, as import-linter enforces them."""
    linter = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["importlinter"]
    (rooms,) = [each for each in linter["contracts"] if each["name"] == ROOMS]
    return [[name.strip() for name in layer.split("|")] for layer in rooms["layers"]]


def forbidding() -> list[tuple[str, set[str]]]:
    """The contracts by which only some may import a library: their names, and who may not."""
    linter = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [
        (each["name"], {*each["source_modules"]}) for each in linter["contracts"] if each["name"].startswith("Only")
    ]


def section(title: str) -> str:
    """The text under a heading of the page."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE.name} has no section {title}"
    return found[1]


def room(path: Path) -> str:
    """The name of the room that a package or module is."""
    return path.stem if path.suffix == ".py" else path.name


def existing() -> set[str]:
    """The rooms that stand in the folder."""
    modules = {room(path) for path in (HOME / "auditor").glob("*.py") if path.stem != "__init__"}
    return modules | {room(path.parent) for path in (HOME / "auditor").glob("*/__init__.py")}


def test_the_table_names_every_room_in_the_order_of_the_contract() -> None:
    rows = re.findall(r"^\| (\d+) \| `auditor/([^`]+)` \| (.+) \|$", section("Rooms"), re.MULTILINE)
    layers: dict[int, list[str]] = {}
    for layer, path, what in rows:
        assert (HOME / "auditor" / path).exists(), path
        assert what.strip(), path
        layers.setdefault(int(layer), []).append(room(Path(path)))
    assert list(layers) == list(range(1, len(layers) + 1))
    assert list(layers.values()) == contract()


def test_the_drawing_stacks_the_rooms_as_the_contract_does() -> None:
    drawn = re.findall(r"^    (.+) --> (.+)$", section("Rooms"), re.MULTILINE)
    arrows = [tuple(side.split(" & ") for side in arrow) for arrow in drawn]
    floors = [*contract(), ["checks"], ["probes"]]
    assert arrows == list(pairwise(floors))


@pytest.mark.parametrize(("name", "sources"), forbidding())
def test_only_whom_a_contract_names_may_import_a_library(name: str, sources: set[str]) -> None:
    everyone = {"checks", *(f"auditor.{room}" for room in existing() - {"__main__"})}
    if "probes" not in sources:
        records = {f"probes.records.{room(path.parent)}" for path in (HOME / "probes/records").glob("*/__init__.py")}
        everyone |= {"probes.queues", "probes.http", *records}
    free = everyone - sources
    assert free
    assert [each for each in free if each.rpartition(".")[2] not in name.lower() and each != "checks"] == []


def test_every_room_that_exists_is_drawn_and_no_other() -> None:
    assert {name for layer in contract() for name in layer} == existing()


def test_the_steps_of_the_way_stand_in_the_drawing_as_in_the_list() -> None:
    way = section("The way of one record")
    listed = [name.lower() for name in re.findall(r"^\d\. \*\*(.+)\.\*\*", way, re.MULTILINE)]
    drawn = dict.fromkeys(re.findall(r'\["([a-z ]+)<br>', way))
    assert [step for step in drawn if step != "show"] == listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Whoever moves a file is told which page still names its old place. `NAME` stands for any name."""
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./]*)`", page.read_text())
    assert [name for name in named if "NAME" not in name and not (HOME / name).exists()] == []


def test_every_page_is_on_the_contents_page() -> None:
    for folder in (HOME / "docs", HOME / "docs" / "adr"):
        text = (folder / "README.md").read_text()
        pages = [path.name for path in folder.glob("*.md") if path.name != "README.md"]
        assert [name for name in pages if f"({name})" not in text] == []


def test_everything_that_is_added_has_a_place_a_test_and_an_existing_file() -> None:
    rows = re.findall(r"^\| an? (.+?) \| (.+?) \|", section("Where to add what"), re.MULTILINE)
    wanted = {"record probe", "queue probe", "alert sender", "page", "CLI verb", "cause"}
    assert wanted <= {name for name, _ in rows}
    assert any("migrations" in line for line in section("Where to add what").splitlines())
