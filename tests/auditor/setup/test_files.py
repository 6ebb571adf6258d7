"""Writing the map and its addresses: both or neither, and never over a map."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.setup.files import place_for, write
from auditor.setup.setup_error import SetupError


def test_the_map_and_the_addresses_are_written(tmp_path: Path) -> None:
    write(tmp_path / "map.yaml", "version: 1\n", tmp_path / ".env", {"CRM_URL": "sqlite:///a"})
    assert (tmp_path / "map.yaml").read_text() == "version: 1\n"
    assert (tmp_path / ".env").read_text() == "CRM_URL='sqlite:///a'\n"
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_without_addresses_the_map_stands_alone(tmp_path: Path) -> None:
    write(tmp_path / "map.yaml", "version: 1\n", tmp_path / ".env", {})
    assert [each.name for each in tmp_path.iterdir()] == ["map.yaml"]


def test_a_map_that_exists_is_never_changed(tmp_path: Path) -> None:
    file, gone = tmp_path / "map.yaml", tmp_path / "gone.yaml"
    file.write_text("mine\n")
    gone.symlink_to(tmp_path / "nowhere")
    for each in (file, gone):
        with pytest.raises(SetupError, match="exists, and a set-up never changes a map"):
            write(each, "version: 1\n", tmp_path / ".env", {"A": "1"})
    assert file.read_text() == "mine\n"
    assert not (tmp_path / ".env").exists()


def test_where_the_map_cannot_be_written_no_address_is_kept(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot write"):
        write(tmp_path / "none" / "map.yaml", "version: 1\n", tmp_path / ".env", {"A": "1"})
    assert [*tmp_path.iterdir()] == []


def test_a_place_for_a_map_is_a_new_file_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("mine\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_for(" ~/new.yaml ") == tmp_path / "new.yaml"
    for text, why in (
        (str(tmp_path), "is a folder; name a file in it, such as .*/plumbline.yaml"),
        (f"{tmp_path}/mine.yaml", "exists"),
        (f"{tmp_path}/none/a.yaml", "there is no folder .*/none; make it first"),
        ("x" * 5_000, "this cannot be a file: File name too long"),
        ("~nobody-of-this-name/a.yaml", "this cannot be a file"),
    ):
        with pytest.raises(SetupError, match=why):
            place_for(text)


def test_a_folder_that_cannot_be_written_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SetupError, match=r"nothing can be written in the folder .*; choose another"):
        place_for(f"{tmp_path}/a.yaml")
