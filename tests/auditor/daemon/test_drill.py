"""Drills: the whole way of a made-up divergence, and what it says when the way is broken somewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.daemon.daemon import Daemon
from auditor.daemon.drill import SUMMARY, DrillError, Drills, drill_notice, rehearse
from auditor.daemon.trouble import News
from auditor.daemon.vitals import Vitals
from auditor.ledger import Ledger, LedgerError
from auditor.map.loader import load_map
from auditor.map.settings import Drill
from auditor.senders.contract import Receipt
from auditor.workspace import Workspace
from checks.records import RecordComparer
from probes.contract import ProbeError, Reason
from tests.auditor.cli.process import auditor
from tests.auditor.senders.receivers import FakeSlack
from tests.daemons import running
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORIGINAL = {"summary": "drill: records were changed in a system that does not own them"}


def test_a_made_up_divergence_becomes_a_notice_that_is_labelled_as_a_test(tmp_path: Path) -> None:
    original = rehearse(tmp_path)
    assert (original["transition"], original["flow"], original["count"]) == ("opened", "drill", 1)
    notice = drill_notice(original, AT)
    assert (notice["transition"], notice["breach"], notice["summary"]) == ("test", "test", SUMMARY)
    assert original["summary"] in notice["detail"]
    assert (notice["flow"], notice["count"]) == (None, 0)


def test_an_auditor_that_takes_different_copies_for_equal_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison that reads its own owner twice, as a bug might, agrees with everything."""
    for name in ("meet", "compare"):
        original = getattr(RecordComparer, name)

        def blind(self: Any, key: Any, owner: Any, _: Any, original: Any = original) -> Any:
            return original(self, key, owner, owner)

        monkeypatch.setattr(RecordComparer, name, blind)
    with pytest.raises(DrillError, match="two different copies are seen as equal"):
        rehearse(tmp_path, within_s=3)


class Bench:
    """Drills on a clock that the test moves, with a ledger and without a daemon."""

    def __init__(self, ledger: Ledger, folder: Path, *, closes: bool = False) -> None:
        self.ledger = ledger
        self.now, self.now_s = AT, 1000.0
        self.told: list[News] = []
        self.rehearsed: list[Path] = []
        self.broken: Exception | None = None
        self.vitals = Vitals({})
        self.vitals.begins(lambda: False)
        self.drills = Drills(
            Drill(to="webhook"),
            ledger,
            folder,
            self.vitals,
            self.told.append,
            closes=closes,
            rehearse=self._rehearse,
            now=lambda: self.now,
            now_s=lambda: self.now_s,
        )

    def _rehearse(self, place: Path) -> dict[str, Any]:
        self.rehearsed.append(place)
        assert list(place.iterdir()) == []
        if self.broken is not None:
            raise self.broken
        (place / "left").touch()
        return dict(ORIGINAL)

    def pass_s(self, seconds: float) -> None:
        self.now, self.now_s = self.now + timedelta(seconds=seconds), self.now_s + seconds
        self.drills.turn()

    def delivered(self, receipt: Receipt) -> dict[str, Any]:
        claimed = self.ledger.outbox.claim(self.now, to="webhook")
        assert claimed is not None
        state = {"sent": "sent", "rejected": "failed"}.get(receipt.outcome, "pending")
        self.ledger.outbox.settle(claimed, state=state, error=receipt.error or None, next_try_at=None)
        return dict(claimed.notice)

    @property
    def problems(self) -> list[str]:
        checks = self.vitals.health().as_document()["checks"]
        return [str(each) for each in checks["alerts"]["reasons"]]


@pytest.fixture
def bench(ledger: Ledger, tmp_path: Path) -> Bench:
    return Bench(ledger, tmp_path)


def test_it_has_arrived_once_its_message_was_accepted(bench: Bench, tmp_path: Path) -> None:
    bench.drills.turn()
    assert bench.ledger.drills.state().under_way
    assert bench.delivered(Receipt(outcome="sent"))["transition"] == "test"
    bench.pass_s(5)
    state = bench.ledger.drills.state()
    assert (state.under_way, state.arrived_at, state.error) == (False, bench.now, None)
    assert (bench.told, bench.problems, list(tmp_path.glob("drill*"))) == ([], [], [])
    bench.pass_s(3600)
    assert len(bench.rehearsed) == 1
    bench.pass_s(86_400)
    assert len(bench.rehearsed) == 2
    assert len(bench.ledger.outbox.drill_messages()) == 1, "the messages of earlier drills are gone"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (DrillError("two different copies are seen as equal"), "two different copies are seen as equal"),
        (LedgerError("its disk is full"), "its files cannot be used: its disk is full"),
        (ProbeError(Reason.TIMEOUT, "no response"), "its files cannot be used: timeout: no response"),
        (OSError(28, "No space left on device"), "its files cannot be written: No space left on device"),
        (KeyError("x"), "it failed with KeyError"),
    ],
)
def test_where_the_way_is_broken_people_hear_once_where(bench: Bench, broken: Exception, words: str) -> None:
    bench.broken = broken
    bench.drills.turn()
    assert bench.ledger.outbox.drill_messages() == []
    assert [(each.transition, each.breach) for each in bench.told] == [("opened", "drill")]
    assert words in bench.told[0].summary
    assert words in bench.problems[0]
    bench.pass_s(86_400)
    assert len(bench.told) == 1
    bench.broken = None
    bench.pass_s(86_400)
    bench.delivered(Receipt(outcome="sent"))
    bench.pass_s(5)
    assert [each.transition for each in bench.told] == ["opened", "resolved"]
    assert bench.problems == []


def test_a_message_that_is_rejected_or_not_accepted_in_time_is_a_failure(bench: Bench) -> None:
    bench.drills.turn()
    bench.delivered(Receipt(outcome="rejected", error="HTTP 404: no_service"))
    bench.pass_s(5)
    assert "alerts.webhook does not accept it: HTTP 404: no_service" in bench.told[0].summary
    bench.pass_s(86_400)
    bench.delivered(Receipt(outcome="refused", error="no response (ConnectError)"))
    bench.pass_s(299)
    assert bench.ledger.drills.state().under_way
    bench.pass_s(2)
    assert bench.ledger.drills.state().error == (
        "its message to alerts.webhook was not accepted within 5 min: no response (ConnectError)"
    )
    assert bench.ledger.outbox.drill_messages() == [], "it does not arrive afterwards"
    assert len(bench.told) == 1


def test_a_restart_goes_on_with_a_drill_whose_message_waits_and_gives_up_one_without(
    ledger: Ledger, tmp_path: Path
) -> None:
    Bench(ledger, tmp_path).drills.turn()
    second = Bench(ledger, tmp_path)
    second.pass_s(1)
    second.delivered(Receipt(outcome="sent"))
    second.pass_s(1)
    assert ledger.drills.state().arrived_at == second.now
    ledger.outbox.forget_drill()
    ledger.drills.begin(second.now)
    third = Bench(ledger, tmp_path)
    third.drills.turn()
    assert "the auditor ended before its message was in the outbox" in third.told[0].summary
    assert Bench(ledger, tmp_path).problems, "a later process says so, too"


def test_what_it_opened_is_closed(ledger: Ledger, tmp_path: Path) -> None:
    bench = Bench(ledger, tmp_path, closes=True)
    bench.drills.turn()
    bench.delivered(Receipt(outcome="sent"))
    bench.pass_s(1)
    assert bench.ledger.drills.state().under_way
    assert bench.delivered(Receipt(outcome="sent"))["transition"] == "resolved"
    bench.pass_s(1)
    assert bench.ledger.drills.state().arrived_at == bench.now


def test_a_daemon_holds_one_at_its_start_and_counts_nothing_of_it(stand: Stand) -> None:
    stand.agree(3)
    slack = FakeSlack()
    alerts = f"alerts: {{slack: {{webhook: '{slack.url}'}}, drill: {{to: slack}}}}\n"
    stand.map_file.write_text(stand.map_file.read_text() + alerts)
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    wait_until(lambda: stand.ledger.drills.state().arrived_at)
    daemon.stop()
    slack.close()
    assert [got["text"].partition(" (incident")[0] for got in slack.got] == [f"[TEST] {SUMMARY}"]
    assert {row["flow"] for row in stand.rows("probe_runs")} == {"to_billing"}
    assert stand.rows("incidents") == []
    assert not (stand.place / "var" / "drill").exists()


def test_the_command_lets_the_daemon_hold_one_and_says_how_it_ended(stand: Stand) -> None:
    slack = FakeSlack()
    original = stand.map_file.read_text()
    words = ["alert", "drill", "--map", stand.map_file, "--data", stand.place / "var"]
    named: dict[str, Any] = {"AUDITOR_LEDGER": stand.ledger_url}
    assert "the map has no drill" in auditor(*words, **named).stderr
    alerts = f"alerts: {{slack: {{webhook: '{slack.url}'}}, drill: {{to: slack}}}}\n"
    stand.map_file.write_text(original + alerts)
    done = auditor(*words, **named)
    assert (done.returncode, "no auditor is running" in done.stderr) == (3, True)
    secrets = {**named, "AUDITOR_DIGEST_KEY": "k" * 32}
    with running(stand.map_file, stand.place / "var", environment=secrets, warmed=True) as daemon:
        wait_until(lambda: stand.ledger.drills.state().arrived_at)
        done = auditor(*words, "--json", **named)
        assert (done.returncode, json.loads(done.stdout)["arrived"]) == (0, True), done.stderr
        slack.answers = [(404, "no_service", {})]
        done = auditor(*words, **named)
        assert done.returncode == 3
        assert "alerts.slack does not accept it" in " ".join(done.stdout.split())
        status = auditor("status", "--json", *words[2:], **named)
        assert json.loads(status.stdout)["drill"]["problem"].startswith("failing since")
        assert status.returncode in {1, 3}
        doctor = auditor("doctor", *words[2:], **secrets)
        assert (doctor.returncode, "drill to slack" in doctor.stdout) == (3, True)
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0
    slack.close()
