"""What a command takes that only reads the map, each in a process of its own: CPU, time, and what it loads.

The baseline is a Python process that does nothing, in the same run. The map has systems of every kind and queues of
every kind, so that the settings of all probes are loaded, and none of their drivers should be.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import arguments, emit
from tests.daemons import map_of_every_kind

ROUNDS = 15
QUICK_ROUNDS = 5
GOAL_S = 0.4

DRIVERS = frozenset(
    {
        "sqlalchemy",
        "httpx",
        "psycopg",
        "pymysql",
        "sqlite3",
        "redis",
        "nats",
        "confluent_kafka",
        "boto3",
        "grpc",
        "google.pubsub_v1",
        "proton",
        "asyncio",
        "pymongo",
        "cryptography",
        "scipy",
        "numpy",
        "pandas",
        "pyarrow",
        "duckdb",
        "apscheduler",
        "streamlit",
        "plotly",
        "alembic",
        "rich",
        "jsonpath",
        "ruamel",
        "pydantic",
        "typer",
    }
)
"""Libraries that are told where a command has loaded them."""

COMMANDS = {
    "version": ("--version",),
    "help": ("--help",),
    "check_help": ("check", "--help"),
    "check": ("check",),
    "review": ("review",),
    "map": ("map",),
    "schema": ("schema",),
}
HELD = ("help", "check")
"""What is held to the goal."""

_COUNTED = (
    "import sys, json\n"
    "sys.argv = ['auditor', *json.loads(sys.argv[1])]\n"
    "sys.stdout = sys.stderr\n"
    "from auditor.cli import main\n"
    "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
    "print(json.dumps([len(sys.modules), sorted(sys.modules)]), file=sys.__stdout__)\n"
)


def _used() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def _run(words: tuple[str, ...], environment: dict[str, str]) -> tuple[float, float]:
    """CPU and time that a process took, in seconds."""
    before, began = _used(), time.monotonic()
    subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=True)
    return _used() - before, time.monotonic() - began


def _loaded(words: tuple[str, ...], environment: dict[str, str]) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _COUNTED, json.dumps(words)],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    count, modules = json.loads(done.stdout)
    return count, sorted(DRIVERS & set(modules))


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    rounds = QUICK_ROUNDS if asked.quick else ROUNDS
    good = True
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "map.yaml").write_text(json.dumps(map_of_every_kind()))
        environment = {**os.environ, "AUDITOR_MAP": str(place / "map.yaml"), "AUDITOR_DATA": str(place / "var")}
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in ("nothing", *COMMANDS)}
        for _ in range(rounds):  # turn by turn, so that what else the machine does meets all of them
            took["nothing"].append(_run(("-c", "pass"), environment))
            for name, words in COMMANDS.items():
                took[name].append(_run(("-m", "auditor", *words), environment))
        baseline = sorted(cpu for cpu, _ in took["nothing"])[rounds // 2]
        for name, found in took.items():
            cpu, wall = (sorted(values) for values in zip(*found, strict=True))
            more: dict[str, Any] = {}
            if name in COMMANDS:
                modules, loaded = _loaded(COMMANDS[name], environment)
                more = {"times_nothing": round(cpu[rounds // 2] / baseline, 1), "modules": modules, "loaded": loaded}
            good &= emit(
                "startup",
                f"{name}_cpu",
                cpu[rounds // 2],
                "s",
                goal=f"<= {GOAL_S:g}" if name in HELD else "",
                n=rounds,
                spread=(cpu[0], cpu[-1]),
                quick=asked.quick,
                wall_s=round(wall[rounds // 2], 3),
                **more,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
