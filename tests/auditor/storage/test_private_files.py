"""Files of an installation: whole or not there whatever dies, for one user alone; a key that is none is refused."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.history.archive import write_file
from auditor.ledger import LedgerError
from auditor.storage.private_files import held, make_folder, write
from auditor.workspace import Workspace
from tests import HOME, warm
from tests.auditor.cli.process import auditor
from tests.stand import Stand

WRITERS = {
    "the digest key": "Workspace.at(place).digest_key()",
    "an archive file": "write_file(str(place / 'archive'), 'changes', '2026-01-01', pa.table({'id': [1]}))",
    "a map": "init(place / 'map.yaml', force=True)",
    "a file that is replaced": "make_folder(place); write(place / 'held', b'new' * 1000)",
}
"""What writes a file, as a statement."""

DRIVER = """
import os, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from auditor.cli.init import init
from auditor.history.archive import write_file
from auditor.storage.private_files import make_folder, write
from auditor.workspace import Workspace
place = Path(sys.argv[1])

def child(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\\n")
        os._exit(code)
    return pid

def killed_at(boundary, work):
    # Dies before or after one of the calls that reach the disk: even boundaries before it, odd ones after it.
    count = 0
    def dying(real):
        def call(*args, **named):
            nonlocal count
            if count == boundary:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            answer = real(*args, **named)
            if count == boundary:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return answer
        return call
    for name in ("open", "fchmod", "chmod", "fsync", "link", "replace", "rename", "unlink", "mkdir", "close"):
        setattr(os, name, dying(getattr(os, name)))
    work()
"""

KILLED = (
    DRIVER
    + """
import shutil
def work():
    @STATEMENT@
deaths = 0
for boundary in range(1000):
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    (place / "held").write_bytes(b"old" * 1000)
    pid = child(lambda: killed_at(boundary, work))
    died = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    deaths += died
    for path in place.rglob("*"):
        if path.is_file() and not path.name.endswith(".partial"):
            content = path.read_bytes()
            whole = {b"old" * 1000, b"new" * 1000}
            assert content in whole or len(content) == 64 or content[-4:] == b"PAR1" or b"systems:" in content, path
            assert path.name == "held" or path.stat().st_mode & 0o77 == 0 or path.name == "map.yaml", path
    work()  # whatever was left behind, the next one goes on
    if not died:
        break
print(deaths)
"""
)


def drive(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HOME), "COLUMNS": "200"}
    return warm.run([*map(str, args)], cwd=HOME, env=environment, timeout=300, script=script)


@pytest.mark.parametrize("statement", WRITERS.values(), ids=WRITERS)
def test_one_that_is_killed_at_any_instant_leaves_nothing_half_written(statement: str, tmp_path: Path) -> None:
    done = drive(KILLED.replace("@STATEMENT@", statement), tmp_path / "var")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 8


TWENTY = (
    DRIVER
    + """
ready, go = os.pipe()
answers, tell = os.pipe()
def work():
    os.close(go)
    os.read(ready, 1)  # ends when the parent closes the other end
    os.write(tell, Workspace.at(place).digest_key())
pids = [child(work) for _ in range(20)]
os.close(go)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
os.close(tell)
keys = os.read(answers, 10_000)
assert len(keys) == 20 * 32
print(len({keys[at : at + 32] for at in range(0, len(keys), 32)}))
"""
)


def test_twenty_processes_at_once_agree_on_one_key(tmp_path: Path) -> None:
    for round_ in range(2):
        done = drive(TWENTY, tmp_path / f"var{round_}")
        assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr


FULL = (
    DRIVER
    + """
place.mkdir(mode=0o700)
(place / "held").write_bytes(b"old" * 1000)
def work():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
    @STATEMENT@
failed = os.waitpid(child(work), 0)[1] != 0
assert failed
left = [path for path in place.rglob("*") if path.is_file()]
assert [path.name for path in left] == ["held"], left
assert left[0].read_bytes() == b"old" * 1000
"""
)


@pytest.mark.parametrize("statement", WRITERS.values(), ids=WRITERS)
def test_a_disk_that_is_full_leaves_what_was_there_and_nothing_else(statement: str, tmp_path: Path) -> None:
    done = drive(FULL.replace("@STATEMENT@", statement), tmp_path / "var")
    assert done.returncode == 0, done.stderr
    assert "Error" in done.stderr or "cannot write" in done.stderr


BAD_KEYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda file: file.write_text(""), "is empty"),
    "blank": (lambda file: file.write_text("\n"), "is empty"),
    "short": (lambda file: file.write_text("ab" * 31), "is 31 bytes long instead of 32"),
    "long": (lambda file: file.write_text("ab" * 65), "is 65 bytes long"),
    "half a byte": (lambda file: file.write_text("ab" * 31 + "a"), "is damaged"),
    "no hex": (
        lambda file: file.write_text("no key at all, but thirty-two or more letters long, in truth"),
        "is damaged",
    ),
    "bytes": (lambda file: file.write_bytes(bytes(range(128, 192))), "is damaged"),
    "endless": (lambda file: file.write_text("ab" * 100_000), "is "),
    "a folder": (lambda file: file.mkdir(), "the digest key"),
    "a pipe": (lambda file: os.mkfifo(file, 0o600), "is no file"),
    "a link to nowhere": (lambda file: file.symlink_to(file.with_name("nowhere")), "cannot read the digest key"),
}


@pytest.mark.parametrize(("make", "said"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_is_none_is_refused_with_what_to_do(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "digest.key"
    make(file)
    if file.is_file():
        file.chmod(0o600)
    with pytest.raises(LedgerError, match=said) as refused:
        Workspace.at(tmp_path).digest_key()
    assert str(file) in str(refused.value)
    assert "restore" in str(refused.value) or "let the auditor's user" in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620])
def test_a_key_that_others_may_read_or_change_is_refused(mode: int, tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    key = workspace.digest_key()
    file = tmp_path / "digest.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(mode)
    with pytest.raises(LedgerError, match=f"chmod 600 {file}"):
        workspace.digest_key()
    file.chmod(0o440)  # as a group's secret is mounted
    assert workspace.digest_key() == key


def test_a_short_key_of_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "secret")
    with pytest.raises(LedgerError, match="has 6 bytes, at least 16 are needed"):
        Workspace.at(tmp_path).digest_key()
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "k" * 16)
    assert Workspace.at(tmp_path).digest_key() == b"k" * 16
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "")
    assert len(Workspace.at(tmp_path).digest_key()) == 32


def test_a_command_says_it_in_one_line_and_does_not_audit(stand: Stand) -> None:
    folder = stand.place / "var"
    folder.mkdir(mode=0o700)
    (folder / "digest.key").write_text("")
    (folder / "digest.key").chmod(0o600)
    for command in ("once", "run"):
        done = auditor(command, "--map", stand.map_file, "--data", folder, AUDITOR_LEDGER=stand.ledger_url)
        assert done.returncode in {2, 3}, command
        assert done.stderr.strip().splitlines()[-1].startswith(f"error: the digest key {folder}/digest.key is empty")
    assert stand.rows("probe_runs") == []


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o277])
def test_everything_that_is_made_is_private_under_any_umask(umask: int, stand: Stand, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "var"
    script = (
        f"import os; os.umask({umask}); import sys; "
        f"sys.argv = ['auditor', 'once', '--map', {str(stand.map_file)!r}, '--data', {str(folder)!r}]; "
        "from pathlib import Path; import pyarrow as pa; from auditor.history.archive import write_file; "
        f"write_file({str(folder / 'archive')!r}, 'changes', '2026-01-01', pa.table({{'id': [1]}})); "
        "from auditor.cli.program import main; main()"
    )
    done = drive(script)
    assert (folder / "ledger.sqlite").exists(), done.stderr
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}, modes


def test_a_loose_installation_is_told_of(stand: Stand, tmp_path: Path) -> None:
    folder = tmp_path / "var"
    workspace = Workspace.at(folder)
    workspace.digest_key()
    assert workspace.loose_text == ""
    folder.chmod(0o755)
    done = auditor("once", "--map", stand.map_file, "--data", folder)
    assert f"other users may read or change {folder}: run `chmod -R go= {folder}`" in done.stderr


def test_a_lock_is_held_by_one_and_ends_with_it(tmp_path: Path) -> None:
    with held(tmp_path / "lock") as first, held(tmp_path / "lock") as second:
        assert first is not None
        assert second is None
    with held(tmp_path / "lock") as again:
        assert again is not None
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_a_new_file_never_replaces_one_where_it_must_not(tmp_path: Path) -> None:
    write(tmp_path / "a", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write(tmp_path / "a", b"second", replace=False)
    assert (tmp_path / "a").read_bytes() == b"first"
    write(tmp_path / "a", b"third")
    assert (tmp_path / "a").read_bytes() == b"third"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "x" / "y")
    assert [stat.S_IMODE((tmp_path / part).stat().st_mode) for part in (".", "x", "x/y")] == [0o755, 0o700, 0o700]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "z")


def test_the_archive_deletes_nothing_that_is_not_its_own(stand: Stand, tmp_path: Path) -> None:
    import pyarrow as pa

    from auditor.history.archive import archive_settled
    from tests.auditor.ledger.rows import NOW

    location = tmp_path / "shared"
    strangers = [
        "notes.txt",
        "changes/readme.md",
        "changes/day=2026-01-01/x.parquet",
        "other/day=2026-01-01/y.parquet",
    ]
    for name in strangers:
        (location / name).parent.mkdir(parents=True, exist_ok=True)
        (location / name).write_text("mine")
        os.utime(location / name, (0, 0))
    rows, day, ours = pa.table({"id": [1]}), "2026-01-01", stand.ledger.installation.ledger_id()
    orphan = Path(write_file(str(location), "changes", day, rows, ours=ours))
    others = Path(write_file(str(location), "changes", day, rows, ours="0123456789abcdef"))
    for file in (orphan, others):
        os.utime(file, (0, 0))
    archive_settled(stand.ledger, str(location), NOW)
    assert not orphan.exists()
    assert others.exists(), "another ledger may share the folder"
    assert all((location / name).exists() for name in strangers)


def test_a_key_that_is_gone_is_not_replaced_where_the_ledger_knows_it(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    ledger = workspace.ledger()
    ledger.installation.check_key(workspace.digest_key(), adopt=True)
    ledger.close()
    file = tmp_path / "digest.key"
    file.unlink()
    with pytest.raises(LedgerError, match=r"is missing, and the ledger .* was made with it: restore it"):
        workspace.digest_key()
    assert not file.exists()
    assert len(workspace.digest_key(begin_anew=True)) == 32
    assert file.exists()
