"""Figures that several sessions ask for at once are computed once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from auditor.dashboard.memo import Memo
from tests.waiting import wait_until


def test_many_at_once_compute_once_and_all_get_it() -> None:
    memo, begun, go = Memo(), [], threading.Event()

    def compute() -> object:
        begun.append(1)
        assert go.wait(60)
        return object()

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(memo.get, "a", compute) for _ in range(5)]
        wait_until(lambda: begun)
        go.set()
        found = {id(each.result(60)) for each in asked}
    assert len(begun) == len(found) == 1


def test_each_key_has_its_own_figure_until_all_are_forgotten() -> None:
    memo = Memo()
    assert memo.get("a", lambda: 1) == 1
    assert memo.get("b", lambda: 2) == 2
    assert memo.get("a", lambda: 3) == 1
    assert memo.has("a")
    assert memo.clear() == [1, 2]
    assert not memo.has("a")
    assert memo.get("a", lambda: 3) == 3


def test_what_fails_is_raised_and_tried_again() -> None:
    memo = Memo()
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 / 0)
    assert memo.get("a", lambda: 1) == 1


def test_a_figure_that_fails_after_all_were_forgotten_takes_no_newer_one_away() -> None:
    memo, begun, go = Memo(), threading.Event(), threading.Event()

    def fail() -> int:
        begun.set()
        assert go.wait(60)
        raise ValueError

    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(memo.get, "a", fail)
        assert begun.wait(60)
        memo.clear()
        assert memo.get("a", lambda: 2) == 2
        go.set()
        assert isinstance(failing.exception(60), ValueError)
    assert memo.get("a", lambda: 3) == 2
