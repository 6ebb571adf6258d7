"""`auditor` as a process, and the words that lead it to a stand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests import HOME, warm
from tests.stand import Stand


def auditor(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    return warm.run(
        [*map(str, words)],
        cwd=cwd or HOME,
        env={**clean, "PYTHONPATH": str(HOME), "COLUMNS": "200", **environment},
        timeout=100,
    )


def places_of(stand: Stand) -> list[object]:
    return ["--map", stand.map_file, "--data", stand.place / "var"]
