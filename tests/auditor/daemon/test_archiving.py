"""The job that archives: one turn at a time, and trouble of the storage apart from bugs and from the ledger."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from auditor.daemon import archiving
from auditor.daemon.archiving import Archiving
from auditor.daemon.trouble import Trouble
from auditor.ledger import LedgerError
from tests.stand import Stand


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What its trouble was told."""
    found: list[str] = []
    monkeypatch.setattr(Trouble, "failed", lambda _self, why, _at: found.append(why))
    monkeypatch.setattr(Trouble, "worked", lambda _self, _at: found.append("worked"))
    return found


def does(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    monkeypatch.setattr(archiving, "archive_settled", lambda *_: work())


def raising(error: Exception) -> Callable[[], object]:
    def work() -> Any:
        raise error

    return work


def test_what_has_settled_is_archived(stand: Stand, said: list[str]) -> None:
    Archiving(str(stand.place / "archive"), lambda _: None).turn(stand.ledger)
    assert said == ["worked"]


def test_a_storage_that_cannot_be_written_is_reported_and_no_error(
    stand: Stand, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    does(monkeypatch, raising(OSError(errno.ENOSPC, "No space left on device")))
    Archiving("/archive", lambda _: None).turn(stand.ledger)
    does(monkeypatch, raising(RuntimeError("denied")))
    Archiving("s3://bucket", lambda _: None).turn(stand.ledger)
    assert said[0].startswith("cannot write the archive /archive: No space left on device; make room there")
    assert said[1].startswith("cannot write the archive s3://bucket: RuntimeError; make room there")


@pytest.mark.parametrize("error", [LedgerError("gone"), RuntimeError("a bug")])
def test_other_errors_are_passed_on_and_the_next_turn_works(
    error: Exception, stand: Stand, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Archiving("/archive", lambda _: None)
    does(monkeypatch, raising(error))
    with pytest.raises(type(error)):
        job.turn(stand.ledger)
    does(monkeypatch, lambda: None)
    job.turn(stand.ledger)
    assert said == ["worked"]


def test_a_turn_that_is_under_way_is_not_joined(
    stand: Stand, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, turns = Archiving("/archive", lambda _: None), []

    def work() -> None:
        turns.append(1)
        job.turn(stand.ledger)

    does(monkeypatch, work)
    job.turn(stand.ledger)
    assert (turns, said) == ([1], ["worked"])
