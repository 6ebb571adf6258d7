"""Files and folders that only the auditor's user may read, there whole or not at all, whatever dies meanwhile.

A file is written under a temporary name, synced, and only then given its own name, in a folder that is synced
afterwards. Whoever looks sees the old file, the new one or none, never a half.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
PARTIAL = ".partial"
"""How the temporary name of a file ends."""

OTHERS = stat.S_IRWXG | stat.S_IRWXO

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone; one that is there is left as it is.

    Raises:
        OSError: it cannot be made, or something else has its name.
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
    folder.chmod(PRIVATE_FOLDER)  # a umask may have taken more away
    sync_folder(folder.parent)


@contextlib.contextmanager
def written(path: Path, *, mode: int = PRIVATE, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file whole: it has its name once the block has ended well, and there is no trace of it otherwise.

    Args:
        mode: permissions, whatever the umask is.
        replace: a file of this name is replaced; else FileExistsError is raised at the end of the block.
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
    """Write a file whole; see `written`."""
    with written(path, mode=mode, replace=replace) as file:
        file.write(content)


def _give_name(partial: Path, path: Path) -> None:
    """Call a file by its name unless there is one of that name."""
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS or path.exists():
            raise
        # A file system without hard links: one who makes this name first holds it, and puts the file there.
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
    """Have a folder's entries on the disk, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def ordinary_mode() -> int:
    """The permissions of a file that is the user's own and no secret, such as a map: as the umask has them."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def open_to_others(paths: list[Path]) -> list[Path]:
    """Those of some files and folders that are there and that others than their owner may read or write."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            if path.stat().st_mode & OTHERS:
                found.append(path)
    return found
