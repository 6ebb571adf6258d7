"""The `.env` file of a set-up: extended, private, and as before where something fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from auditor.setup.environment_file import kept, with_variables
from auditor.setup.setup_error import SetupError


@pytest.mark.parametrize(
    "value", ["sqlite:///a b", "it's", 'a"b', "a\\b'c\\\\", "a#b c", "postgresql://u:p%24@h/d?x=1&y=2"]
)
def test_a_value_is_read_as_it_was_written(value: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    with kept(file, {"CRM_URL": value}):
        pass
    assert dotenv_values(file) == {"CRM_URL": value}


def test_what_is_there_stays_and_what_is_known_is_not_repeated() -> None:
    text = "# mine\nCRM_URL=sqlite:///a\nOTHER=1"
    assert with_variables(text, {"CRM_URL": "sqlite:///a", "W_URL": "b"}) == f"{text}\nW_URL='b'\n"
    with pytest.raises(SetupError, match=r"CRM_URL is in the \.env file already, with another value"):
        with_variables(text, {"CRM_URL": "sqlite:///b"})
    with pytest.raises(SetupError, match="cannot be kept"):
        with_variables("X=1\n", {"CRM_URL": "${X}"})


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    file.chmod(0o644)
    with kept(file, {"B": "2"}):
        pass
    assert file.stat().st_mode & 0o777 == 0o600
    assert dotenv_values(file) == {"A": "1", "B": "2"}


def test_where_the_rest_fails_the_file_is_as_before(tmp_path: Path) -> None:
    file, fresh = tmp_path / ".env", tmp_path / "fresh.env"
    file.write_text("A=1\n")
    file.chmod(0o640)
    for each in (file, fresh):
        with pytest.raises(KeyboardInterrupt), kept(each, {"B": "2"}):
            raise KeyboardInterrupt
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("A=1\n", 0o640)
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, file = tmp_path / "shared.env", tmp_path / ".env"
    target.write_text("A=1\n")
    file.symlink_to(target)
    with kept(file, {"B": "2"}):
        pass
    assert file.is_symlink()
    assert dotenv_values(target) == {"A": "1", "B": "2"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot write"), kept(tmp_path / "none" / ".env", {"B": "2"}):
        pass
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="not UTF-8"), kept(tmp_path / ".env", {"B": "2"}):
        pass


def test_a_file_that_cannot_be_written_is_named_and_stays(tmp_path: Path) -> None:
    file = tmp_path / ("e" * 250)  # its temporary name is longer than a folder takes
    file.write_text("A=1\n")
    with pytest.raises(SetupError, match=r"cannot write .*File name too long"), kept(file, {"B": "2"}):
        pass
    assert file.read_text() == "A=1\n"
