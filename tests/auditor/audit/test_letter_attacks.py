"""Queues whose broker or messages say what nobody expects: never silent, no old figures, and no wrong record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.audit.queue_audit import QueueAuditor
from auditor.history.backlogs import backlogs
from auditor.history.lens import Lens
from auditor.history.letters import letters, unseen_letters
from auditor.history.status import Standing, flow_status
from auditor.ledger import Ledger
from auditor.systems.doctor import examine
from checks.queue_figures import certain
from checks.queue_states import Flowing, Trend
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from tests import ledgers
from tests.attacks import messages
from tests.auditor.dashboard.page_runs import run, text
from tests.stand import Stand

NOW = datetime.now(UTC).replace(microsecond=0)

ROLES = ("dead", "main", "retry")


class Played:
    """A queue that answers, or raises, what the test says, apart for figures and letters."""

    page_limit = 100

    def __init__(self) -> None:
        self.figures: QueueReading | Exception = QueueReading(depth=2, oldest_at=NOW, truncated=True)
        self.page: QueueReading | Exception | None = None

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        told = self.page if peek and self.page is not None else self.figures
        if isinstance(told, Exception):
            raise told
        return told

    def prove_read_only(self) -> str:
        return "it is only played"

    def close(self) -> None:
        """Nothing to release."""


def watching(stand: Stand, probe: Played, ledger: Ledger | None = None, **changed: Any) -> QueueAuditor:
    return QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=stand.map.queues["to_billing", "dead"].model_copy(update=changed),
        probe=probe,
        ledger=ledger or stand.ledger,
    )


@pytest.fixture
def lens(stand: Stand) -> Iterator[Lens]:
    made = Lens(stand.ledger)
    yield made
    made.close()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "odd",
    [
        TypeError(messages.SECRET),
        KeyError(messages.SECRET),
        OverflowError(messages.SECRET),
        RecursionError(messages.SECRET),
        UnicodeDecodeError("utf-8", messages.SECRET.encode(), 0, 1, messages.SECRET),
        AssertionError(messages.SECRET),
        MemoryError(messages.SECRET),
    ],
    ids=lambda odd: type(odd).__name__,
)
def test_an_exception_that_nobody_expects_is_an_unread_queue_and_an_incident(
    stand: Stand, lens: Lens, role: str, odd: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    stand.agree(3)
    probe = Played()
    auditor = watching(stand, probe, role=role)
    auditor.audit(NOW)
    probe.figures = odd
    with caplog.at_level(logging.DEBUG):
        for number in range(1, 5):
            failed = auditor.audit(NOW + timedelta(seconds=number))
            assert isinstance(failed, ProbeError)
            lens.refresh()
            (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
            assert (told.depth, told.oldest_age_s, told.trend, told.flowing, told.arriving) == (
                *(None, None, Trend.UNKNOWN, Flowing.UNKNOWN, None),
            ), "from the first reading on that failed"
            assert f"an unexpected answer ({type(odd).__name__})" in told.message
    assert messages.SECRET not in caplog.text + str(failed) + str(stand.rows("backlogs")) + str(
        stand.rows("incidents")
    )
    (incident,) = stand.breaches("unread_queue")
    assert (incident["state"], "cannot be read" in str(incident["summary"])) == ("open", True)
    (status,) = flow_status(stand.map, stand.ledger, NOW + timedelta(seconds=9))
    assert status.unknown is not None
    probe.figures = QueueReading(depth=0, oldest_at=None)
    for number in (9, 11):
        assert not isinstance(auditor.audit(NOW + timedelta(seconds=number)), ProbeError)
    (incident,) = stand.breaches("unread_queue")
    assert incident["state"] == "resolved"


@pytest.mark.parametrize(
    "odd",
    [
        TypeError(messages.SECRET),
        ProbeError(Reason.DECODE, "its answer is not JSON"),
        ProbeError(Reason.TOO_LARGE, ""),
    ],
    ids=lambda odd: type(odd).__name__,
)
def test_letters_that_cannot_be_read_hide_neither_their_number_nor_their_age(
    stand: Stand, lens: Lens, odd: Exception
) -> None:
    stand.agree(3)
    probe = Played()
    probe.page = odd
    auditor = watching(stand, probe)
    for number in range(4):
        reading = auditor.audit(NOW + timedelta(seconds=number))
        assert isinstance(reading, QueueReading)
        assert reading.depth == 2
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.depth, told.message, told.looked_at) == (2, "", 0)
    assert "its letters cannot be read" in told.notes
    assert messages.SECRET not in told.notes
    assert "2 of 2 waiting letters were not looked at" in " ".join(
        unseen_letters(stand.map, ["to_billing"], lens, NOW + timedelta(seconds=4))
    )
    open_now = {each["breach"] for each in stand.rows("breaches") if each["ended_at"] is None}
    assert open_now == {"unread_queue", "dead_letters"}
    (status,) = flow_status(stand.map, stand.ledger, stand.clock.now() + timedelta(seconds=5))
    assert (status.state, "its letters cannot be read" in status.why) == (Standing.UNVERIFIED, True)


@pytest.mark.parametrize("figure", ["depth", "arrived", "taken", "retention_s", "oldest_at", "drops_at"])
@pytest.mark.parametrize("name", messages.FIGURES)
def test_a_figure_that_cannot_be_true_is_unknown_and_noted(stand: Stand, name: str, figure: str) -> None:
    value = messages.FIGURES[name]
    probe = Played()
    true = QueueReading(depth=2, oldest_at=NOW, arrived=5, taken=3, retention_s=60.0, drops_at=NOW)
    probe.figures = replace(true, **{figure: value})
    reading = watching(stand, probe, role="main").audit(NOW)
    assert isinstance(reading, QueueReading)
    if (figure, name) == ("retention_s", "half"):
        assert reading.retention_s == 1.5
        return
    (row,) = stand.rows("backlogs")
    assert row[figure] is None or (figure, name) == ("retention_s", "beyond 64 bits")
    assert getattr(reading, figure) is None
    assert ("not known" in str(row["notes"])) == (
        value is not None and (figure, name) != ("retention_s", "beyond 64 bits")
    )
    assert certain(reading) == reading


def test_a_retention_for_ever_is_none(stand: Stand) -> None:
    for kept_s in (2**63 - 1, 10**400, float(2**62)):
        assert certain(QueueReading(depth=0, oldest_at=None, retention_s=kept_s)).retention_s is None
    for kept_s in (float("nan"), float("inf"), -1.0):
        told = certain(QueueReading(depth=0, oldest_at=None, retention_s=kept_s))
        assert (told.retention_s, len(told.notes)) == (None, 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, stand: Stand) -> Iterator[Ledger]:
    if request.param == "sqlite":
        yield stand.ledger
        return
    made = Ledger(request.getfixturevalue("postgresql_ledger_url"))
    yield made
    made.close()


def _odd(value: Any) -> dict[str, Callable[[Letter], Letter]]:
    """A letter with this value in each of its parts, as a probe might take it over."""
    return {
        part: lambda each, part=part: replace(each, **{part: {value: value} if part == "headers" else value})
        for part in ("letter_id", "key", "reason", "attempts", "first_failed_at", "last_failed_at", "payload")
    } | {
        "headers": lambda each: replace(each, headers={str(value): value}),
        "unreadable": lambda each: replace(each, unreadable=value),
        "note": lambda each: replace(each, note=value),
    }


def test_one_letter_of_any_content_keeps_no_other_from_being_listed(stand: Stand, ledger: Ledger) -> None:
    made = [
        change(Letter(letter_id=f"{part} {name}", key=1, reason="no", first_failed_at=NOW))
        for name, value in messages.VALUES.items()
        for part, change in _odd(value).items()
    ]
    good = [Letter(letter_id="first", key=7, reason="no"), *made, Letter(letter_id="last", key="8", reason="no")]
    probe = Played()
    probe.figures = probe.page = QueueReading(depth=len(good), oldest_at=NOW, letters=tuple(good))
    watching(stand, probe, ledger, evidence="clear").audit(NOW)
    rows = {row["letter_id"]: row for row in ledgers.rows(ledger, "dead_letters")}
    assert (rows["first"]["key"], rows["last"]["key"]) == ("7", "8")
    # Those whose identity is the odd one are listed under what can be kept of it.
    assert len([name for name in rows if " " in str(name)]) >= len(made) - len(messages.VALUES)
    assert all(isinstance(row["letter_id"], str) for row in rows.values())


def test_letters_that_could_not_be_read_are_counted_listed_and_shown(
    stand: Stand, lens: Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.agree(3)
    probe = Played()
    made = (
        Letter(letter_id="good", key=1, reason="no"),
        Letter(letter_id="odd", reason="no", attempts=4, unreadable="its payload is not JSON"),
        Letter(letter_id="odder", unreadable="its payload is not JSON"),
        Letter(letter_id="large", unreadable="its payload is larger than the 262,144 bytes that are read into"),
        Letter(letter_id="forged", key=2, note="it names the stream PAYROLL, which the map does not"),
    )
    probe.figures = probe.page = QueueReading(depth=5, oldest_at=NOW, letters=made)
    watching(stand, probe).audit(NOW)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert "3 letters could not be read whole: 2 of them: its payload is not JSON" in told.notes
    rows = {each.letter_id: each for each in letters(stand.map, lens, NOW - timedelta(hours=1)).rows}
    assert (rows["good"].remarks, rows["odd"].remarks, rows["odd"].attempts) == (
        *("", "unreadable: its payload is not JSON", 4),
    )
    assert rows["forged"].remarks == "it names the stream PAYROLL, which the map does not"
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    app = run("dead-letters")
    assert not app.exception
    assert "3 letters could not be read whole" in text(app)
    probe.figures = probe.page = QueueReading(depth=1, oldest_at=NOW, letters=made[:1])
    watching(stand, probe).audit(NOW + timedelta(seconds=1))
    assert stand.rows("backlogs")[-1]["notes"] == "", "those are gone"


def test_a_forged_claim_joins_a_letter_to_no_record_of_another_flow(stand: Stand, lens: Lens) -> None:
    text_ = stand.map_file.read_text()
    other = text_[text_.index("  to_billing:") :].replace("to_billing:", "to_archive:")
    stand.map_file.write_text(text_ + other[: other.index("    queues:")])
    stand.remap("every: 1s", "every: 1s")
    stand.agree(3)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.audit_until(lambda: stand.rows("divergences"))
    (difference,) = stand.rows("divergences")
    claims = {"flow": "to_archive", "queue": "other", "data_type": "customer", "divergence_id": "1"}
    probe = Played()
    made = (
        Letter(letter_id="to_archive/3", key=3, headers=claims),
        Letter(letter_id="2", key="3; to_archive", headers=claims),
        Letter(letter_id="3", key=2, headers=claims, note="flow: to_archive"),
    )
    probe.figures = probe.page = QueueReading(depth=3, oldest_at=NOW, letters=made)
    watching(stand, probe, evidence="clear").audit(NOW)
    lens.refresh()
    joined = {
        each.letter_id: (each.flow, each.key, each.divergence_id) for each in letters(stand.map, lens, NOW).rows
    }
    assert joined == {
        "to_archive/3": ("to_billing", "3", difference["id"]),
        "2": ("to_billing", None, None),
        "3": ("to_billing", "2", None),
    }


def test_the_doctor_calls_a_queue_ok_only_where_its_depth_is_known(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Played()
    monkeypatch.setattr("auditor.systems.doctor.registry.open_queue_probe", lambda *_: probe)
    for told, state in (
        (QueueReading(depth=3, oldest_at=None), "ok"),
        (QueueReading(depth=None, oldest_at=None, notes=("its statistics are switched off",)), "depth unknown"),
        (QueueReading(depth=-3, oldest_at=None), "depth unknown"),
        (TypeError(messages.SECRET), "an unexpected answer (TypeError)"),
        (ProbeError(Reason.AUTH, "refused"), "auth: refused"),
    ):
        probe.figures = told
        (found,) = [
            each for each in examine(stand.map, seed=None, steps={}) if each.system == "queue to_billing/dead"
        ]
        assert (found.as_row()["state"], found.ok) == (state, state == "ok")
