"""`auditor init` without a terminal: the template, and the presets."""

from __future__ import annotations

import json
from pathlib import Path

from auditor.map import presets
from tests.auditor.cli.process import auditor


def test_init_writes_a_preset_and_names_those_there_are(tmp_path: Path) -> None:
    assert "presets for slack, twilio, zendesk" in auditor("init", cwd=tmp_path).stdout
    shown = auditor("init", "--help").stdout
    assert [name for name in presets.names() if name not in shown] == []
    made = auditor("init", "--preset", "zendesk", cwd=tmp_path)
    assert (made.returncode, "wrote zendesk.yaml" in made.stdout) == (0, True)
    assert (tmp_path / "zendesk.yaml").read_text() == presets.text("zendesk")
    assert auditor("init", "--preset", "zendesk", cwd=tmp_path).returncode == 2
    other = auditor("init", "--preset", "zendex", cwd=tmp_path)
    assert (other.returncode, "did you mean 'zendesk'?" in other.stderr) == (2, True)


def test_init_check_and_their_mistakes(tmp_path: Path) -> None:
    assert auditor("init", cwd=tmp_path).returncode == 0
    again = auditor("init", cwd=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    unset = auditor("check", cwd=tmp_path)
    assert unset.returncode == 2
    assert "CRM_URL is not set: set it in the shell, or in .env in the folder you start from" in unset.stdout
    (tmp_path / ".env").write_text("CRM_URL=sqlite:///a.sqlite\nWAREHOUSE_URL=sqlite:///b.sqlite\n")
    good = auditor("check", cwd=tmp_path)
    assert (good.returncode, good.stdout) == (0, "valid: 2 systems, 1 data type, 1 flow, 0 queues\n")
    told = json.loads(auditor("check", "--json", cwd=tmp_path).stdout)
    assert told["valid"] is True
