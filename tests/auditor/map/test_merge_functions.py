"""Merge functions of strangers: loaded by name, guarded, and given up on when they hang."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from auditor.map import merge_functions
from auditor.map.merge_functions import load_merge
from checks.conflicts import MergeError

MODULE = """
import time
def newest(owner, target, changed):
    return {name: owner[name] for name in changed["owner"]}
def fails(owner, target, changed):
    raise ValueError(owner["name"])
def hangs(owner, target, changed):
    time.sleep(60)
def nonsense(owner, target, changed):
    return 5
number = 7
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_merges.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "our_merges", raising=False)
    monkeypatch.setattr(merge_functions, "DEADLINE_S", 0.2)


def test_a_named_function_is_called_with_both_copies() -> None:
    changed = {"owner": ["name"], "target": []}
    assert load_merge("our_merges:newest")({"name": "Ada"}, {"name": "Eve"}, changed) == {"name": "Ada"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("our_merges", "not of the form module:function"),
        ("no_such_module:x", "cannot load no_such_module:x: ModuleNotFoundError"),
        ("our_merges:missing", "AttributeError"),
        ("our_merges:number", "is not a function"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name: str, said: str) -> None:
    with pytest.raises(MergeError, match=said):
        load_merge(name)


def test_what_it_raises_is_told_without_the_values() -> None:
    with pytest.raises(MergeError, match=r"our_merges:fails raised ValueError$"):
        load_merge("our_merges:fails")({"name": "secret"}, {}, {})
    with pytest.raises(MergeError, match="answered int"):
        load_merge("our_merges:nonsense")({}, {}, {})


def test_a_function_that_hangs_is_given_up_on_once_and_for_all() -> None:
    merge = load_merge("our_merges:hangs")
    with pytest.raises(MergeError, match=r"took longer than 0\.2 s$"):
        merge({}, {}, {})
    with pytest.raises(MergeError, match="before; restart"):  # it was not called again, and not waited for
        merge({}, {}, {})
