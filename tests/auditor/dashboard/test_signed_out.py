"""Sign-ins that people have ended: refused from then on, after a restart too, and in a file that stays small."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.dashboard import guard, signed_out
from auditor.dashboard.access import access_of
from auditor.dashboard.oidc import LONGEST_SESSION_S
from auditor.dashboard.signed_out import SignedOut
from tests.auditor.dashboard.test_oidc import CLAIMS, COOKIE_SECRET, SET, cookie, through

NOW = 1_000_001.0
BEGAN = 1_000_000.0


def started(folder: Path, now: float = NOW) -> SignedOut:
    """What a dashboard knows that has just been started."""
    found = SignedOut()
    found.keep(folder / signed_out.NAME, now)
    return found


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A way to start the dashboard anew."""

    def start() -> None:
        monkeypatch.setattr(guard, "SIGNED_OUT", started(tmp_path))

    start()
    return start


def test_a_cookie_that_was_signed_out_stays_refused_after_a_restart(
    dashboard: Callable[[], None], tmp_path: Path
) -> None:
    access, signed_in = access_of(SET), cookie(CLAIMS)
    other = cookie({**CLAIMS, "email": "bob@example.com"})
    assert through(access, "/media/x.csv", signed_in)[0]["status"] == 200
    through(access, "/auth/logout", signed_in)
    for restarts in (0, 1):
        for _ in range(restarts):
            dashboard()
        assert through(access, "/media/x.csv", signed_in)[0]["status"] == 401
        assert through(access, "/media/x.csv", other)[0]["status"] == 200
    file = tmp_path / signed_out.NAME
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_bytes()
    assert b"ada" not in kept
    assert COOKIE_SECRET.encode() not in kept
    assert signed_in[1].split(b"=", 1)[1] not in kept


def test_a_sign_in_is_forgotten_once_no_setting_lets_it_last(tmp_path: Path) -> None:
    found = started(tmp_path)
    found.end("a", BEGAN, NOW)
    found.end("b", BEGAN + LONGEST_SESSION_S - 1, BEGAN + LONGEST_SESSION_S - 1)
    assert started(tmp_path).holds("a", BEGAN)
    found.end("c", BEGAN + LONGEST_SESSION_S, BEGAN + LONGEST_SESSION_S)
    again = started(tmp_path)
    assert [again.holds(name, BEGAN) for name in "abc"] == [False, True, True]


def test_dashboards_that_share_a_folder_know_what_each_has_ended(tmp_path: Path) -> None:
    one, other = started(tmp_path), started(tmp_path)
    one.end("a", BEGAN, NOW)
    assert other.holds("a", BEGAN)
    other.end("b", BEGAN, NOW)
    assert one.holds("b", BEGAN)
    one.end("c", BEGAN, NOW)
    assert all(started(tmp_path).holds(name, BEGAN) for name in "abc")


def test_what_damages_the_file_later_ends_nothing_and_is_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = started(tmp_path)
    found.end("a", BEGAN, NOW)
    (tmp_path / signed_out.NAME).write_bytes(b"[]")
    with caplog.at_level(logging.WARNING):
        assert [found.holds(name, BEGAN) for name in "abab"] == [True, False, True, False]
    assert caplog.text.count("is not known") == 1
    found.end("b", BEGAN, NOW)
    assert all(started(tmp_path).holds(name, BEGAN) for name in "ab")


def test_more_than_are_kept_apart_end_all_that_began_as_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_out, "MOST", 3)
    found = started(tmp_path)
    for number in range(5):
        found.end(f"s{number}", BEGAN + number, NOW)
    for known in (found, started(tmp_path)):
        assert all(known.holds(f"s{number}", BEGAN + number) for number in range(5))
        assert known.holds("another", BEGAN + 1)
        assert not known.holds("another", BEGAN + 2)
    assert (tmp_path / signed_out.NAME).read_text().count('"s') == 3


@pytest.mark.parametrize("content", [b"", b"[]", b'{"ended": {"a": "x"}, "all_until": 0}', b"\xff", b"[" * 100_000])
def test_where_the_file_is_damaged_everyone_signs_in_again(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / signed_out.NAME).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = started(tmp_path)
    assert "everyone has to sign in again" in caplog.text
    assert found.holds("any", NOW)
    assert not found.holds("any", NOW + 1)
    again = started(tmp_path, NOW + 60)
    assert again.holds("any", NOW)
    assert not again.holds("any", NOW + 1)


def test_where_the_file_cannot_be_written_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = started(tmp_path / "none")
    with caplog.at_level(logging.WARNING):
        found.end("a", BEGAN, NOW)
    assert found.holds("a", BEGAN)
    assert "cannot write" in caplog.text
    assert "No such file or directory" in caplog.text
