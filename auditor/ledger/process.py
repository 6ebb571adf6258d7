"""Identifies an auditing process, so that others on the same machine can see whether it is alive."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that may hold the lease, identified so that others on its machine can see whether it is alive.

    Attributes:
        does: what it does with the ledger: run, once.
        born: the machine's start, the process namespace and the process's start; "" if unavailable.
    """

    does: str
    host: str
    number: int
    born: str
    folder: str


def this_process(does: str, folder: Path) -> Process:
    """This process as a lease holder."""
    number = os.getpid()
    return Process(does=does, host=socket.gethostname(), number=number, born=_born(number) or "", folder=str(folder))


def _born(number: int) -> str | None:
    """Distinguishes a process from a later one with the same pid; None if there is none, "" if unavailable.

    Source: proc_pid_stat(5), field 22 is the start of the process in clock ticks since boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else f"{boot} {space} {fields[19]}"


def is_gone(holder: Process, mine: Process) -> bool:
    """Whether a holder is known to have ended: it ran on this machine, and its process no longer exists."""
    if not holder.born or holder.born.split()[:2] != mine.born.split()[:2]:
        return False
    return _born(holder.number) != holder.born
