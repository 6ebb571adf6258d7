"""Run the company: `python -m demo FOLDER --port PORT`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
from pathlib import Path

from demo.company import Company
from demo.engines import Engines
from demo.server import serve
from demo.stage import Stage
from demo.stores import StoreError


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="A small company whose systems can be broken."
    )
    parser.add_argument("folder", type=Path, help="where its databases are kept")
    parser.add_argument("--port", type=int, default=8601, help="of its HTTP APIs on 127.0.0.1")
    parser.add_argument("--per-second", type=float, default=2.0, help="business events a second")
    parser.add_argument("--seed", type=int, default=None, help="for the same story again")
    parser.add_argument("--quiet-start", action="store_true", help="no scenario plays by itself")
    parser.add_argument(
        "--engines",
        action="store_true",
        help="documents in MongoDB, the warehouse in PostgreSQL and the bus in Redis, at the addresses in "
        "DEMO_DOCUMENTS, DEMO_WAREHOUSE and DEMO_BUS",
    )
    asked = parser.parse_args()
    os.umask(os.umask(0o077) | 0o077)  # its databases are this user's alone
    chance = random.Random(asked.seed)
    try:
        company = Company(asked.folder, Engines.of(os.environ) if asked.engines else None)
        company.found(chance)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stage = Stage(company, chance)
    try:
        server = serve(company, stage, asked.port)
    except OSError as error:
        parser.error(f"port {asked.port}: {error.strerror}")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    api = threading.Thread(target=server.serve_forever, daemon=True)
    api.start()
    sys.stderr.write(f"the company answers on http://127.0.0.1:{asked.port}\n")
    stage.live(stop, per_s=asked.per_second, opens=not asked.quiet_start)
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
