"""An installation is opened once for all who look, and before anybody does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auditor.dashboard.data import NoLedgerError
from auditor.dashboard.installations import forget, installation, is_open, open_early
from auditor.map.problems import MapError
from tests.stand import Stand

STARTED = """
import os, threading
from auditor.dashboard.site import settings
from auditor.dashboard.installations import is_open
settings()
for thread in threading.enumerate():
    if thread.name == "history":
        thread.join()
print(is_open(os.environ["AUDITOR_MAP"], os.environ["AUDITOR_DATA"]))
"""


@pytest.fixture
def named(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    yield str(stand.map_file), str(stand.place)
    forget()


def test_who_looks_while_it_is_opened_early_gets_the_same(named: tuple[str, str]) -> None:
    assert not is_open(*named)
    early = open_early(*named)
    with ThreadPoolExecutor(5) as pool:
        found = {id(each) for each in pool.map(lambda _: installation(*named), range(5))}
    early.join(60)
    assert len(found) == 1
    assert is_open(*named)


def test_it_is_opened_anew_after_it_was_closed(named: tuple[str, str]) -> None:
    first = installation(*named)
    forget()
    assert not is_open(*named)
    assert installation(*named) is not first


def test_what_keeps_it_from_being_opened_is_told_to_who_looks(stand: Stand, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("flows: 3\n")
    open_early(str(wrong), str(tmp_path)).join(60)
    with pytest.raises(MapError):
        installation(str(wrong), str(tmp_path))
    open_early(str(stand.map_file), str(tmp_path / "empty")).join(60)
    with pytest.raises(NoLedgerError):
        installation(str(stand.map_file), str(tmp_path / "empty"))
    assert not is_open(str(stand.map_file), str(tmp_path / "empty"))


def test_the_server_opens_it_as_it_starts(named: tuple[str, str], tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert said.stdout.splitlines()[-1] == "True", said.stderr[-2000:]
    assert "ScriptRunContext" not in said.stderr
