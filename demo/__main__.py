"""Run the company: `python -m demo FOLDER --port PORT`; break it: `python -m demo FOLDER --do stop-worker`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
from pathlib import Path

from demo.billing import serve
from demo.company import Company
from demo.worker import Business, Worker, live

SCENARIOS = {
    "stop-worker": "the sync worker stops: nothing arrives any more",
    "start-worker": "the sync worker goes on with what has piled up",
    "argue": "sales and billing change the status of one customer at the same time",
    "repair": "bring most copies back to what their owners hold",
}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="A small company whose systems drift.")
    parser.add_argument("folder", type=Path, help="where its databases are kept")
    parser.add_argument("--port", type=int, default=8601, help="of billing's HTTP API on 127.0.0.1")
    parser.add_argument("--per-second", type=float, default=2.0, help="business events a second")
    parser.add_argument("--seed", type=int, default=None, help="for the same story again")
    parser.add_argument("--do", choices=sorted(SCENARIOS), help="change a running company and exit")
    asked = parser.parse_args()
    os.umask(os.umask(0o077) | 0o077)  # its databases are this user's alone
    company = Company(asked.folder)
    chance = random.Random(asked.seed)
    if asked.do:
        if not company.path("sync").exists():
            parser.error(f"there is no company in {asked.folder}; start one first")
        return _do(company, chance, asked.do)
    company.found(chance)
    try:
        server = serve(company, asked.port)
    except OSError as error:
        parser.error(f"port {asked.port}: {error.strerror}")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    api = threading.Thread(target=server.serve_forever, daemon=True)
    api.start()
    sys.stderr.write(f"billing answers on http://127.0.0.1:{asked.port}\n")
    live(company, chance, stop, per_s=asked.per_second)
    server.shutdown()
    return 0


def _do(company: Company, chance: random.Random, scenario: str) -> int:
    if scenario == "repair":
        Worker(company, chance).repair()
    elif scenario == "argue":
        Business(company, chance).argue()
    else:
        state = "stopped" if scenario == "stop-worker" else "running"
        with company.open("sync") as sync:
            sync.execute("INSERT OR REPLACE INTO switches VALUES ('worker', ?)", (state,))
    sys.stderr.write(f"{scenario}: {SCENARIOS[scenario]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
