"""Writing what a set-up came to: the map, and its secrets beside it. A map that exists is never changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from auditor.setup import environment_file
from auditor.setup.setup_error import SetupError
from auditor.storage import private_files


def is_there(file: Path) -> bool:
    """Whether something has the map's name already; also where this user may not look."""
    return os.path.lexists(file)


def place_for(text: str) -> Path:
    """The file that a person has named for a map.

    Raises:
        SetupError: no map can be written there; says why.
    """
    try:
        file = Path(text.strip()).expanduser()
        if file.is_dir():
            raise SetupError(f"{file} is a folder; name a file in it, such as {file / 'plumbline.yaml'}")
        if is_there(file):
            raise _exists(file)
        if not file.parent.is_dir():
            raise SetupError(f"there is no folder {file.parent}; make it first")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise SetupError(f"nothing can be written in the folder {file.parent}; choose another")
    except (OSError, RuntimeError, ValueError) as error:
        raise SetupError(f"this cannot be a file: {getattr(error, 'strerror', None) or error}") from None
    return file


def write(file: Path, text: str, environment: Path, variables: Mapping[str, str]) -> None:
    """Write the map, and its secrets into the `.env` file; both or neither.

    Args:
        environment: the `.env` file.
        variables: what is added to it; nothing if the person sets the variables.

    Raises:
        SetupError: the map exists, or one of them cannot be written.
    """
    if is_there(file):
        raise _exists(file)
    if not variables:
        _write_map(file, text)
        return
    with environment_file.kept(environment, variables):
        _write_map(file, text)


def _write_map(file: Path, text: str) -> None:
    try:
        private_files.write(file, text.encode(), mode=private_files.ordinary_mode(), replace=False)
    except FileExistsError:
        raise _exists(file) from None
    except (OSError, UnicodeError) as error:
        raise SetupError(f"cannot write {file}: {getattr(error, 'strerror', None) or error}") from None


def _exists(file: Path) -> SetupError:
    return SetupError(f"{file} exists, and a set-up never changes a map; move it away, or choose another place")
