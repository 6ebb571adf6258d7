"""Parts of a map that ship with the product, one file for each vendor."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all presets, in alphabetical order."""
    return sorted(each.stem for each in _FOLDER.glob("*.yaml"))


def text(name: str) -> str:
    """The YAML of one preset, with its comments. Raises KeyError."""
    if name not in names():
        raise KeyError(name)
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
