"""Set up, run and test Plumbline with nothing but Python: `python3 scripts/plumbline.py VERB`."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
VENV = HOME / ".venv"
PYTHON = VENV / "bin" / "python"

# What the tests start for themselves: program -> where Debian has it, and the package that brings it.
SERVERS = {
    "initdb": ("/usr/lib/postgresql/*/bin/initdb", "postgresql"),
    "pgbouncer": ("/usr/sbin/pgbouncer", "pgbouncer"),
    "sqlite3": ("/usr/bin/sqlite3", "sqlite3"),
    "mariadbd": ("/usr/sbin/mariadbd", "mariadb-server"),
    "proton": ("/usr/lib/python3/dist-packages/proton", "python3-qpid-proton"),
    "nats-server": ("/usr/sbin/nats-server", "nats-server"),
    "rabbitmq-server": ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"),
    "redis-server": ("/usr/bin/redis-server", "redis-server"),
    "chromium": ("/usr/bin/chromium", "chromium"),
}


def main() -> int:
    """Run the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036  whoever runs this has not set anything up yet
        sys.stderr.write(f"Plumbline needs Python 3.11 or newer; this is {sys.version.split()[0]}\n")
        return 2
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["setup", "run", "test", "test-browser", "check"])
    verb = parser.parse_args().verb
    os.chdir(HOME)
    if verb in {"setup", "run"}:
        _install("requirements.txt")
        return _run([PYTHON, "-m", "auditor", "demo"]) if verb == "run" else 0
    _install("requirements-test.txt")
    if verb == "check":
        return _check()
    _servers()
    _run([PYTHON, "-m", "tests.engines"])
    if verb == "test-browser":
        return _tests("browser", 4)
    # Most of these tests wait for windows to pass: six at once keep two cores busy.
    code = _check() or _tests("not browser", max(6, os.cpu_count() or 1))
    print("the tests in a real browser: make test-browser", flush=True)
    return code


def _install(requirements: str) -> None:
    """Make .venv hold exactly what the file asks for; does nothing when it already does."""
    wanted = "".join(
        (HOME / name).read_text() for name in ("requirements.txt", "constraints.txt", "pyproject.toml", requirements)
    )
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    stamp = VENV / f"{requirements}.installed"
    if stamp.exists() and stamp.read_text() == digest and PYTHON.exists():
        return
    print(f"setting up .venv from {requirements} (a minute or two the first time) ...", flush=True)
    if not PYTHON.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("cannot make .venv; on Debian: apt-get install python3-venv")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    files = ["-r", requirements, "-c", "constraints.txt"]
    if shutil.which("uv"):
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(PYTHON), *files], check=True)
    else:
        subprocess.run([*pip, *files], check=True)
    subprocess.run([*pip, "--no-deps", "-e", "."], check=True)
    stamp.write_text(digest)


def _servers() -> None:
    """Install the servers that the tests start, or say exactly what is missing."""
    missing = [
        package
        for program, (pattern, package) in SERVERS.items()
        if not shutil.which(program) and not list(Path("/").glob(pattern.lstrip("/")))
    ]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"the tests need {', '.join(missing)}; on Debian, as root: {' '.join(command)}")
    print(f"installing {', '.join(missing)} ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for each in (["apt-get", "update", "-q"], command):
        done = subprocess.run(each, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            sys.stderr.buffer.write(done.stdout[-4000:])
            sys.exit(f"{' '.join(each)} failed")


def _tests(which: str, at_once: int) -> int:
    """Run the tests that a marker names."""
    return _run([PYTHON, "-m", "pytest", "-m", which, "-n", str(at_once), "--dist", "loadgroup"])


def _check() -> int:
    """Format, lint, types and import layers."""
    tools = VENV / "bin"
    commands: list[list[str | Path]] = [
        [tools / "ruff", "format", "--check", "--quiet", "."],
        [tools / "ruff", "check", "--quiet", "."],
        [tools / "mypy"],
        [tools / "lint-imports", "--no-cache"],
    ]
    for command in commands:
        print(f"== {Path(command[0]).name} {' '.join(map(str, command[1:]))}", flush=True)
        code = _run(command)
        if code:
            return code
    return 0


def _run(command: Sequence[str | Path]) -> int:
    """Run a command in the foreground; Ctrl-C reaches it and is not an error of ours."""
    process = subprocess.Popen([str(word) for word in command])
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: process.send_signal(number))
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
