"""Tests that share something heavy run in one process: xdist tells them by the end of their names."""

from __future__ import annotations

import pytest


def test_whatever_is_shared_is_made_once(request: pytest.FixtureRequest) -> None:
    """xdist 3.8 writes the group into `_nodeid`, which pytest 9.2 no longer reads: every process made everything."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("tests are not run in groups here: -n 4 --dist loadgroup")
    groups = {item.nodeid: item.get_closest_marker("xdist_group") for item in request.session.items}
    shared = {name: mark.args[0] for name, mark in groups.items() if mark is not None}
    assert {name for name, group in shared.items() if not name.endswith(f"@{group}")} == set()
