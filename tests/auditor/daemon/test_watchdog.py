"""The watchdog: when it notifies people, when it stays silent, and that it says so once."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor.alerts.delivery import open_senders
from auditor.audit.tenure import held
from auditor.daemon.pulse_file import PulseFile
from auditor.daemon.vitals import silent_after_s
from auditor.daemon.watchdog import REPORTS_ITSELF_S, Seen, Watchdog, alone
from auditor.ledger import Ledger
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from tests.auditor.cli.process import auditor
from tests.auditor.senders.receivers import FakeSlack
from tests.daemons import running
from tests.stand import Stand
from tests.waiting import wait_until

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Scene:
    """A stand, a receiver, and watchdogs whose clocks the test moves."""

    def __init__(self, stand: Stand, slack: FakeSlack) -> None:
        self.stand, self.slack = stand, slack
        stand.map_file.write_text(stand.map_file.read_text() + f'alerts: {{slack: {{webhook: "{slack.url}"}}}}\n')
        self.workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
        self.steady_s, self.wall_s, self._begun_at = 5000.0, 0.0, datetime.now(UTC)

    def pass_s(self, seconds: float, *, wall_s: float | None = None) -> None:
        """Let time pass; by default on both clocks alike."""
        self.steady_s += seconds
        self.wall_s += seconds if wall_s is None else wall_s

    def dog(self) -> Watchdog:
        """As a new process."""
        loaded = load_map(self.stand.map_file, {})
        return Watchdog(
            loaded,
            self.workspace,
            open_senders(loaded.alerts),
            now_s=lambda: self.steady_s,
            now=lambda: self._begun_at + timedelta(seconds=self.wall_s),
        )

    @property
    def messages(self) -> list[str]:
        """The transitions that were sent."""
        return [each["text"].partition("]")[0].rpartition(" ")[2].strip("[") for each in self.slack.got]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()


@pytest.fixture
def scene(stand: Stand, slack: FakeSlack) -> Scene:
    stand.agree(3)
    return Scene(stand, slack)


@contextmanager
def audited_by_another(scene: Scene) -> Iterator[None]:
    """A live process holds the lease."""
    ledger = Ledger(scene.stand.ledger_url)
    with held(scene.workspace, ledger, "run", tell=lambda _: None):
        yield
    ledger.close()


def test_while_audits_are_recorded_it_says_nothing(scene: Scene) -> None:
    for _ in range(3):
        scene.stand.audit()
        assert scene.dog().look().fine
        scene.pass_s(30, wall_s=0)
    assert scene.messages == []


def test_a_dead_auditor_is_told_once_and_its_return_once(scene: Scene) -> None:
    assert scene.dog().look().fine
    scene.pass_s(60)
    report = scene.dog().look()
    assert report.silent[0].startswith("to_billing for ")
    assert report.auditor == "no auditor is running with this ledger"
    scene.pass_s(60)
    assert not scene.dog().look().fine
    assert scene.messages == ["OPEN"]
    assert "no audit of 1 flow is being recorded" in scene.slack.got[0]["text"]
    scene.stand.clock.advance(120)
    scene.stand.audit()
    assert scene.dog().look().fine
    assert scene.dog().look().fine
    assert scene.messages == ["OPEN", "RESOLVED"]


def test_a_failed_audit_is_an_audit_because_the_daemon_reports_it(scene: Scene) -> None:
    assert scene.dog().look().fine
    scene.pass_s(60, wall_s=0)
    scene.stand.run("billing", "ALTER TABLE customers RENAME TO moved")
    assert scene.stand.audit().error is not None
    assert scene.dog().look().fine
    assert scene.messages == []


def test_a_live_auditor_gets_the_time_that_a_hanging_system_takes(scene: Scene) -> None:
    with audited_by_another(scene):
        assert scene.dog().look().fine
        scene.pass_s(60, wall_s=0)
        assert scene.dog().look().fine
        scene.pass_s(silent_after_s(scene.stand.map.flow("to_billing")), wall_s=0)
        report = scene.dog().look()
        assert not report.fine
        assert "auditor run on" in report.auditor
    assert scene.messages == ["OPEN"]


@pytest.mark.parametrize("set_by_s", [86_400.0, -86_400.0])
def test_a_clock_that_is_set_neither_raises_an_alarm_nor_hides_one(scene: Scene, set_by_s: float) -> None:
    assert scene.dog().look().fine
    scene.stand.audit()
    scene.pass_s(5, wall_s=set_by_s)
    assert scene.dog().look().fine
    scene.pass_s(60)
    assert not scene.dog().look().fine
    assert scene.messages == ["OPEN"]


def test_a_ledger_that_cannot_be_read_is_no_data_in_time(scene: Scene) -> None:
    assert scene.dog().look().fine
    ledger = scene.stand.place / "ledger.sqlite"
    ledger.rename(scene.stand.place / "elsewhere")
    report = scene.dog().look()
    assert (report.silent, "there is no ledger" in report.unread) == ((), True)
    scene.pass_s(60)
    assert not scene.dog().look().fine
    assert "The ledger cannot be read" in str(scene.slack.got[0])


def test_a_live_auditor_that_cannot_write_is_left_to_report_that_itself(scene: Scene) -> None:
    with audited_by_another(scene):
        assert scene.dog().look().fine
        (scene.stand.place / "ledger.sqlite").rename(scene.stand.place / "elsewhere")
        scene.pass_s(REPORTS_ITSELF_S - 1)
        PulseFile(scene.workspace.folder).touch()
        report = scene.dog().look()
        assert (report.auditor, len(report.silent)) == ("its process lives", 1)
        assert scene.messages == []
        scene.pass_s(60)
        scene.dog().look()
    assert scene.messages == ["OPEN"]


def test_a_live_auditor_that_hangs_is_reported_as_soon_as_a_dead_one(scene: Scene) -> None:
    with audited_by_another(scene):
        PulseFile(scene.workspace.folder).touch()
        assert scene.dog().look().fine
        (scene.stand.place / "ledger.sqlite").rename(scene.stand.place / "elsewhere")
        scene.pass_s(60)  # and nothing has touched the file meanwhile
        assert scene.dog().look().silent
    assert scene.messages == ["OPEN"]


def test_a_refused_message_is_tried_again_and_one_cut_off_is_labelled(scene: Scene) -> None:
    scene.slack.answers = [(429, "slow down", {"Retry-After": "30"}), (-1, "", {})]
    scene.dog().look()
    scene.pass_s(60)
    assert scene.dog().look().undelivered
    assert scene.slack.got == []
    scene.pass_s(60)
    scene.dog().look()  # accepted, but the response is lost
    scene.pass_s(60)
    scene.dog().look()
    assert scene.messages == ["OPEN", "OPEN"]
    assert "possible duplicate" in scene.slack.got[1]["text"]
    scene.pass_s(60)
    scene.dog().look()
    assert len(scene.messages) == 2


def test_a_damaged_file_of_its_own_is_begun_anew(scene: Scene) -> None:
    scene.dog().look()
    (scene.workspace.folder / "watchdog.json").write_text('{"flows": 7}')
    assert scene.dog().look().fine


def test_after_a_start_of_the_machine_only_the_time_since_counts() -> None:
    seen = Seen(mark="7", first_s=20.0, before_s=0.0, at=(AT - timedelta(hours=9)).isoformat())
    assert seen.silence_s(20.0, AT) == 20.0
    assert Seen(mark="7", first_s=20.0, at=(AT - timedelta(hours=9)).isoformat()).silence_s(20.0, AT) == 9 * 3600


def test_two_watchdogs_do_not_look_after_one_folder(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "var")
    with alone(workspace) as first, alone(workspace) as second:
        assert (first, second) == (True, False)


def test_a_killed_daemon_is_noticed_at_the_next_look(stand: Stand, slack: FakeSlack) -> None:
    scene = Scene(stand, slack)
    secrets = {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}
    with running(stand.map_file, stand.place / "var", environment=secrets) as daemon:
        wait_until(lambda: stand.rows("probe_runs"))
        assert scene.dog().look().fine
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    assert scene.dog().look().fine
    scene.pass_s(60, wall_s=0)
    report = scene.dog().look()
    assert report.silent[0].startswith("to_billing for ")
    assert "the last auditor has ended" in report.auditor
    assert scene.messages == ["OPEN"]


def test_the_command_exits_with_what_it_sees(stand: Stand) -> None:
    words = ["watchdog", "--map", stand.map_file, "--data", stand.place / "var"]
    stand.remap("window: 4s", "window: 1h")
    stand.remap("    every: 1s", "    every: 10m")
    stand.audit()
    done = auditor(*words, "--json", AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, json.loads(done.stdout)["silent"]) == (0, [])
    assert "the map names nobody to notify" in done.stderr
    done = auditor(*words, AUDITOR_LEDGER=f"sqlite:///{stand.place}/missing.sqlite")
    assert done.returncode == 3
    assert "the ledger cannot be read: there is no ledger" in done.stderr
    assert auditor(*words, "--every", "0s").returncode == 2


def test_the_command_makes_no_folder_where_there_is_none(stand: Stand) -> None:
    missing = stand.place / "nowhere"
    done = auditor("watchdog", "--map", stand.map_file, "--data", missing)
    assert done.returncode == 3
    assert f"there is no ledger in {missing} yet: run `auditor run`" in done.stderr
    assert not missing.exists()


def test_what_the_command_keeps_is_its_owners_alone(stand: Stand) -> None:
    folder = stand.place / "var"
    stand.audit()
    folder.mkdir(exist_ok=True)
    (folder / "watchdog.lock").touch(0o644)  # as an older version has left it
    auditor("watchdog", "--map", stand.map_file, "--data", folder, AUDITOR_LEDGER=stand.ledger_url)
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("watchdog.lock", "watchdog.json")}
    assert modes == {"watchdog.lock": 0o600, "watchdog.json": 0o600}


def test_a_data_folder_that_cannot_be_written_makes_no_run_send_its_message_again(
    scene: Scene, tmp_path: Path
) -> None:
    spare = tmp_path / "spare.json"

    def dog() -> Watchdog:
        made = scene.dog()
        made._spare = spare
        return made

    assert dog().look().fine
    file = scene.workspace.folder / "watchdog.json"
    before = file.read_bytes()
    file.unlink()
    file.mkdir()  # whoever runs the tests, it cannot be replaced
    spare.write_bytes(before)
    scene.pass_s(60)
    for _ in range(3):  # as cron does
        assert not dog().look().fine
        scene.pass_s(60)
    assert scene.messages == ["OPEN"]
    file.rmdir()
    dog().look()
    assert (file.exists(), spare.exists()) == (True, False)
    assert scene.messages == ["OPEN"]


def test_a_spare_file_of_somebody_else_is_not_used(scene: Scene, tmp_path: Path) -> None:
    scene.dog().look()
    planted = tmp_path / "planted.json"
    planted.symlink_to(tmp_path / "elsewhere.json")
    watchdog = scene.dog()
    watchdog._spare = planted
    assert watchdog._latest() == scene.workspace.folder / "watchdog.json"
