"""What the server has loaded before it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from auditor.dashboard import navigation

LOADED = """
import gc, sys
from auditor.dashboard.site import settings
settings()
print(gc.get_freeze_count() / (gc.get_freeze_count() + len(gc.get_objects())))
print(*(name for name in sys.modules if name.startswith("auditor.dashboard.pages.")))
"""


def test_all_pages_are_loaded_at_the_start_and_the_garbage_collector_passes_over_them(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    frozen, modules = said.stdout.splitlines()[-2:]
    assert float(frozen) > 0.95
    assert set(modules.split()) == {f"auditor.dashboard.pages.{name.replace('-', '_')}" for name in navigation.PAGES}
