"""The dashboard's process ends quietly when somebody presses Ctrl-C, also while it holds the history open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests import HOME
from tests.servers import free_port, wait_for_port
from tests.stand import Stand


def test_ctrl_c_ends_it_with_one_word(watched: Stand, tmp_path: Path) -> None:
    watched.agree(3)
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    told = {**clean, "AUDITOR_LEDGER": watched.ledger_url, "PYTHONPATH": str(HOME)}
    command = [sys.executable, "-m", "auditor", "dashboard", "--port", str(port)]
    places = ["--map", str(watched.map_file), "--data", str(watched.place / "var")]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([*command, *places], cwd=tmp_path, env=told, stdout=said, stderr=said)
        try:
            wait_for_port(port, process, 120)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    lines = (tmp_path / "said").read_text().splitlines()
    assert lines[-1] == "stopping"
    assert not [each for each in lines if "Aborted" in each or "leaked" in each or "Traceback" in each]
