"""Files and folders that only the auditor's user may read, written completely or not at all even in a crash.

A file is written under a temporary name, synced, and only then renamed to its own name, in a folder that is synced
afterwards. A reader sees the old file, the new one or none, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
PARTIAL = ".partial"
"""Suffix of a file's temporary name."""

OTHERS = stat.S_IRWXG | stat.S_IRWXO

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, for this user alone; an existing one is left unchanged.

    Raises:
        OSError: it cannot be created, or something else has its name.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    try:
        folder.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    folder.chmod(PRIVATE_FOLDER)  # a umask may have removed more
    sync_folder(folder.parent)


@contextlib.contextmanager
def written(path: Path, *, mode: int = PRIVATE, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file atomically: it appears once the block has succeeded, and leaves no trace otherwise.

    Args:
        mode: permissions, whatever the umask is.
        replace: replace an existing file; otherwise raise FileExistsError at the end of the block.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            _give_name(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)


def write(path: Path, content: bytes, *, mode: int = PRIVATE, replace: bool = True) -> None:
    """Write a file atomically; see `written`."""
    with written(path, mode=mode, replace=replace) as file:
        file.write(content)


@contextlib.contextmanager
def held(path: Path) -> Iterator[BinaryIO | None]:
    """A file that is locked while the block runs; None if another process has locked it.

    The lock ends with the last process that has the file open, however that ends, and the file stays.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "r+b") as file:
        with contextlib.suppress(PermissionError):  # somebody else's
            os.fchmod(descriptor, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file


def _give_name(partial: Path, path: Path) -> None:
    """Rename a file to its name unless that name is taken."""
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS or path.exists():
            raise
        # A file system without hard links: the first process to create this name owns it and puts the file there.
        claim = path.with_name(f".{path.name}.claim")
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
        try:
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            partial.replace(path)
        finally:
            claim.unlink()
        return
    partial.unlink()


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, if its file system supports it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def ordinary_mode() -> int:
    """The permissions of a user's file that is not secret, such as a map: as set by the umask."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def open_to_others(paths: list[Path]) -> list[Path]:
    """The existing ones among these paths that users other than their owner may read or write."""
    exposed = []
    for path in paths:
        with contextlib.suppress(OSError):
            if path.stat().st_mode & OTHERS:
                exposed.append(path)
    return exposed
