"""Free memory goes back to the system, unless the environment says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from probes.allocator import Tidier, variables

LEFT = """
import threading
from probes.allocator import Tidier, give_memory_back
told = give_memory_back()
tidier = Tidier(0)
resident = lambda: next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmRSS"))

def work():
    for _ in range(3):
        blocks = [bytearray(b"x" * 8_000_000) for _ in range(5)]
        small = [bytes(700) for _ in range(50_000)]
        kept = [blocks, small]
        kept.append(kept)
        del blocks, small, kept

before = resident()
threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
tidier.tidy()  # nothing is wanted yet
tidier.want()
tidier.tidy()
print(told, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
@pytest.mark.parametrize(("own", "told"), [({}, "True"), ({"MALLOC_ARENA_MAX": "4"}, "False")])
def test_large_blocks_go_back_and_the_environment_has_the_last_word(own: dict[str, str], told: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", LEFT], capture_output=True, text=True, env={**kept, **own}, check=True, timeout=300
    )
    said, grown = done.stdout.split()
    assert said == told
    if told == "True":
        assert float(grown) < 60


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
def test_the_variables_say_the_same_to_another_program() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    assert variables({"MALLOC_ARENA_MAX": "4"}) == {}
    done = subprocess.run(
        [sys.executable, "-c", LEFT],
        capture_output=True,
        text=True,
        env={**kept, **variables(kept)},
        check=True,
        timeout=300,
    )
    said, grown = done.stdout.split()
    assert said == "False"
    assert float(grown) < 60


@pytest.mark.parametrize("collect", [True, False])
def test_the_garbage_collector_runs_only_where_it_has_to(collect: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[None] = []
    monkeypatch.setattr("gc.collect", lambda: runs.append(None))
    tidier = Tidier(0, collect=collect)
    tidier.want()
    assert tidier.tidy()
    assert bool(runs) is collect
