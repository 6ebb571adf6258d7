"""A process that audits, told so that another on the same machine sees whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that may hold the lease, told so that another on the same machine sees whether it still lives.

    Attributes:
        does: what it does with the ledger: run, once.
        born: the machine's start, the process namespace and the process's start; "" where the system does not tell.
    """

    does: str
    host: str
    number: int
    born: str
    folder: str


def this_process(does: str, folder: Path) -> Process:
    """This process, as it would hold the lease."""
    number = os.getpid()
    return Process(does=does, host=socket.gethostname(), number=number, born=_born(number) or "", folder=str(folder))


def _born(number: int) -> str | None:
    """What tells a process from one that has its number later; None where there is none, "" where nobody can tell.

    Source: proc_pid_stat(5), field 22 is the start of the process in clock ticks since the machine's.
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
    """Whether a holder is known to have ended: it ran on this machine, and its process is not there any more."""
    if not holder.born or holder.born.split()[:2] != mine.born.split()[:2]:
        return False
    return _born(holder.number) != holder.born
