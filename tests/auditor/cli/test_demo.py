"""Playing scenarios from the command line beside a company at work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner, Result

from auditor.cli import app
from auditor.cli import demo as command
from auditor.conflicts import decisions
from auditor.scenarios import Stage
from auditor.workspace import Workspace
from demo.company import Company
from demo.scenarios import SCENARIOS
from tests.auditor.test_scenarios import performing
from tests.demo.test_company import company

__all__ = ["company"]


@pytest.fixture
def folder(company: Company) -> Path:
    """Where the demo keeps everything; the company's folder is in it."""
    renamed = company.folder.with_name("company")
    company.folder.rename(renamed)
    company.folder = renamed
    Workspace.at(renamed.parent).ledger().close()
    return renamed.parent


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["demo", *words, "--data", str(folder)])


def test_a_scenario_is_listed_played_and_watched_to_its_end(
    company: Company, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(SCENARIOS["unreachable-crm"], lasts_s=0.1)
    monkeypatch.setitem(SCENARIOS, "unreachable-crm", short)
    monkeypatch.setattr(command, "SETTLES_S", 0.0)
    with performing(company):
        listed = run(folder, "list")
        played = run(folder, "play", "unreachable-crm")
    assert all(name in listed.stdout for name in SCENARIOS)
    assert played.exit_code == 0
    assert played.stdout.startswith(
        f"CRM unreachable\n  {short.situation}\n  It is mended by itself after 0 s. With --hold, it stays broken "
        "until `auditor demo mend`.\n\n"
    )
    assert f"mended: {short.person}" in played.stdout
    assert "over: no incident is open" in played.stdout


def test_one_that_is_prevented_is_not_mended(company: Company, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCENARIOS, "zone-bug", replace(SCENARIOS["unreachable-crm"], name="zone-bug", lasts_s=0.1))
    monkeypatch.setattr(command, "SETTLES_S", 0.0)
    with performing(company):
        played = run(folder, "play", "zone-bug", "--prevented")
    assert "over: no incident is open" in played.stdout
    assert "mended" not in played.stdout


def test_what_a_person_has_to_decide_is_decided_before_it_is_mended(
    company: Company, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = Mock(return_value=2)
    monkeypatch.setitem(SCENARIOS, "two-teams", replace(SCENARIOS["two-teams"], lasts_s=0.1))
    monkeypatch.setattr(command, "SETTLES_S", 0.0)
    monkeypatch.setattr(command, "_all_wait", lambda ledger, since: True)
    monkeypatch.setattr(decisions, "decide_waiting", decided)
    with performing(company):
        played = run(folder, "play", "two-teams")
        prevented = run(folder, "play", "two-teams", "--prevented")
        assert [each.kwargs["choice"] for each in decided.call_args_list] == ["crm"]
        run(folder, "play", "two-teams", "--hold")
        mended = run(folder, "mend")
    assert "decided: 2 conflicts for crm" in played.stdout
    assert "It stays broken until the conflict is decided. With --hold" in played.stdout
    assert "decided" not in prevented.stdout
    assert "decided: 2 conflicts for crm" in mended.stdout


def test_what_is_held_stays_broken_until_it_is_mended(company: Company, folder: Path) -> None:
    with performing(company):
        assert "nothing is being played" in run(folder, "mend").stderr
        held = run(folder, "play", "unreachable-crm", "--prevented", "--hold")
        assert "Prevented by: Standby" in held.stdout
        assert "it plays until `auditor demo mend`" in held.stderr
        again = run(folder, "play", "late-sync", "--hold")
        assert again.exit_code == 3
        assert "unreachable-crm is being played; mend it first" in again.stderr
        assert "unreachable-crm is over" in run(folder, "mend").stderr
        while Stage.in_folder(company.folder).programme().playing is not None:
            pass
        held = run(folder, "play", "paused-consumer", "--hold")
        assert held.stdout == f"Paused consumer\n  {SCENARIOS['paused-consumer'].situation}\n\n"
        assert "it stays broken until `auditor demo mend`" in held.stderr
        assert "paused-consumer is mended" in run(folder, "mend").stderr


def test_options_that_a_command_would_not_see_are_refused(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["demo", "--data", str(tmp_path), "list"])
    assert said.exit_code == 2
    assert f"write --data behind the command: auditor demo list --data {tmp_path}" in " ".join(said.stderr.split())
    said = CliRunner().invoke(app, ["demo", "--port", "9000", "mend"])
    assert said.exit_code == 2
    assert "are for starting a demo" in said.stderr


def test_the_running_demo_is_found_by_the_exported_folder(
    company: Company, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "var").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, ["demo", *words])
        return done.stdout + done.stderr

    with performing(company):
        monkeypatch.setenv("AUDITOR_DATA", str(folder))
        assert "late-sync" in said("list")
        assert "nothing is being played" in said("mend")
        assert "no scenario 'none'" in said("play", "none")
        monkeypatch.setenv("AUDITOR_DATA", str(elsewhere))
        assert f"no demo runs in {elsewhere}" in said("mend")
        (elsewhere / "var" / "demo").symlink_to(folder)
        assert "nothing is being played" in said("mend"), "the variable is that of another installation"
        monkeypatch.delenv("AUDITOR_DATA")
        assert "nothing is being played" in said("mend")


def test_a_wrong_name_and_a_missing_demo_are_said(company: Company, folder: Path) -> None:
    assert "no demo runs in" in run(folder, "list").stderr
    with performing(company):
        wrong = run(folder, "play", "late-snyc")
        unnamed = run(folder, "play", "")
    assert wrong.exit_code == 2
    assert (
        "there is no scenario 'late-snyc'; did you mean 'late-sync'? `auditor demo list` shows all\n" in wrong.stderr
    )
    assert "there is no scenario ''; known: cron-batch, " in unnamed.stderr
    gone = run(folder, "play", "late-sync")
    assert gone.exit_code == 3
    assert "does not answer" in gone.stderr
