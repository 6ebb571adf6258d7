"""The `.env` file that keeps addresses with their logins, and tokens: read, and extended without losing anything.

A value stands in single quotes, in which python-dotenv and Compose read it as written but for `\\` and `'`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from auditor.map.yaml_document import NotTextError, read_text
from auditor.setup.setup_error import SetupError
from auditor.storage import private_files


def with_variables(text: str, variables: Mapping[str, str]) -> str:
    """The file's text with further variables at its end; those that it has already with this value stay. Pure.

    Raises:
        SetupError: it has one of them with another value, or a value cannot be written.
    """
    known = values_of(text)
    lines = []
    for name, value in variables.items():
        if name in known and known[name] != value:
            raise SetupError(f"{name} is in the .env file already, with another value; take it out or rename it")
        if name not in known:
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"{name}='{quoted}'\n")
    whole = text if not text or text.endswith("\n") else f"{text}\n"
    written = whole + "".join(lines)
    after = values_of(written)
    for name in (name for name, value in variables.items() if after.get(name) != value):
        raise SetupError(f"the value of {name} cannot be kept in a .env file; set the variable yourself")
    return written


def values_of(text: str) -> dict[str, str | None]:
    """The variables of a file's text, with `${...}` replaced as at the start of the auditor."""
    return dotenv_values(stream=io.StringIO(text))


def text_of(file: Path) -> str:
    """The file's text, "" if there is none.

    Raises:
        SetupError: it cannot be read.
    """
    try:
        return read_text(file)
    except FileNotFoundError:
        return ""
    except NotTextError as error:
        raise SetupError(f"{file} {error}") from None
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}") from None


@contextmanager
def kept(file: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Add variables to the file, for its owner alone (mode 0600); if the block fails, it is as before.

    Raises:
        SetupError: it cannot be written.
    """
    before = text_of(file)
    existed = file.exists()
    place = file.resolve()  # a link stays a link
    mode = place.stat().st_mode & 0o777 if existed else private_files.PRIVATE
    try:
        try:
            private_files.write(place, with_variables(before, variables).encode())
        except OSError as error:
            raise SetupError(f"cannot write {file}: {error.strerror}") from None
        yield
    except BaseException:
        if not existed:
            place.unlink(missing_ok=True)
        elif text_of(file) != before:
            private_files.write(place, before.encode(), mode=mode)
        raise
