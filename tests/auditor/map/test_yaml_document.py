"""Files that no map should be read from: each refused with its line, in time, and without filling the memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.map.loader import check_map, load_systems, system_text
from auditor.map.problems import MapError
from tests import HOME
from tests.attacks.yaml_texts import READ, REFUSED
from tests.auditor.map.test_loader import GOOD

COMMANDS = (
    "check",
    "map",
    "map --json",
    "map --diff {good}",
    "doctor",
    "discover",
    "once",
    "run",
    "status",
    "review",
    "lag",
    "coverage",
    "letters",
    "conflicts",
    "repair",
    "record customer 1",
)
WORST = (
    "billion laughs",
    "list in itself",
    "deep brackets",
    "huge integer",
    "python object",
    "day that is none",
    "NUL",
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_map_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    text, line = REFUSED[name]
    file = tmp_path / "map.yaml"
    file.write_bytes(text)
    with pytest.raises(MapError) as refused:
        check_map(file, {})
    assert (str(file), line) in {(each.file, each.line) for each in refused.value.problems}, str(refused.value)
    assert max(len(each.message) for each in refused.value.problems) < 400
    with pytest.raises(MapError):
        load_systems(file, {})


@pytest.mark.parametrize("before", READ.values(), ids=READ.keys())
def test_what_may_stand_before_a_map_is_read(tmp_path: Path, before: bytes) -> None:
    file = tmp_path / "map.yaml"
    file.write_bytes(before + GOOD.encode())
    assert set(check_map(file, {})[0].systems) == {"crm", "billing"}


def test_aliases_and_merges_that_stand_for_little_are_read(tmp_path: Path) -> None:
    shared = GOOD.replace("      email: {type: string}", "      email: &text {type: string}\n      name: *text")
    shared = shared.replace("    zone: UTC\n", "    <<: &zone {zone: UTC}\n")
    file = tmp_path / "map.yaml"
    file.write_text(shared)
    loaded = check_map(file, {})[0]
    assert loaded.data_types["customer"].fields["name"].type == "string"
    assert loaded.systems["crm"].zone == "UTC"
    assert system_text(file, "crm") is not None


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    text, line = REFUSED[name]
    (tmp_path / "map.yaml").write_bytes(text)
    (tmp_path / "good.yaml").write_text(GOOD)
    words = command.format(good="good.yaml").split()
    result = CliRunner().invoke(app, [words[0], "--map", "map.yaml", *words[1:]])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    if "usage" not in result.stderr.lower():  # of a command without a map
        assert f"map.yaml:{line}:" in result.output, result.output


@pytest.mark.parametrize("name", ["billion laughs as a system", "merged without end", "deep braces", "large"])
def test_none_fills_the_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "map.yaml").write_bytes(REFUSED[name][0])
    command = [sys.executable, "-m", "auditor", "check", "--map", "map.yaml"]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    environment = {**os.environ, "PYTHONPATH": str(HOME), "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert f"map.yaml:{REFUSED[name][1]}:" in ended.stdout


def test_a_folder_that_is_none_of_a_map_is_not_searched_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.map.yaml_document.ENTRIES_LIMIT", 100)
    for at in range(101):
        (tmp_path / f"{at}.txt").touch()
    with pytest.raises(MapError, match="name the map's own folder"):
        check_map(tmp_path, {})


def test_a_device_is_read_no_further_than_a_map_goes() -> None:
    with pytest.raises(MapError, match="larger than"):
        check_map(Path("/dev/zero"), {})
