"""The process of the dashboard: Streamlit, which ends with one word when somebody presses Ctrl-C.

By itself it prints "Aborted!" then, and DuckDB's extension lists each object that is still alive.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run Streamlit's command line."""
    # While pages are served, the web server handles the signal, closes them, and raises it again at the end.
    signal.signal(signal.SIGINT, _end)
    from streamlit.web.cli import main as streamlit

    streamlit(prog_name="streamlit")


def _end(number: int, frame: FrameType | None) -> None:
    sys.stderr.write("stopping\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
