"""What can be written in a map, asked on the command line or set in the environment is documented."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from auditor.map.settings import (
    AlertRule,
    AlertSettings,
    Consumer,
    DataType,
    FlowSettings,
    Objective,
    SamplingPolicies,
    ValuePolicy,
)
from auditor.senders.registry import SENDERS, sender_settings
from checks.fields import FieldRule
from checks.validity import Validity
from probes import registry
from probes.http import settings as http_settings
from probes.settings import Budget, OperationLimits
from tests import HOME

PAGES = sorted([*HOME.glob("*.md"), *(HOME / "docs").rglob("*.md")])

MODELS: list[type[BaseModel]] = [
    *(Budget, OperationLimits, DataType, Consumer, FieldRule, Validity),
    *(registry.record_settings(kind) for kind in registry.RECORD_KINDS),
    *(registry.record_binding(kind) for kind in registry.RECORD_KINDS),
    *http_settings.KINDS,
    *(FlowSettings, SamplingPolicies, ValuePolicy, Objective, AlertRule, AlertSettings),
    *(registry.queue_settings(kind) for kind in registry.QUEUE_KINDS),
    *(sender_settings(name) for name in SENDERS),
]


def test_every_kind_has_its_place_in_the_documentation() -> None:
    described, written = ((HOME / "docs" / f"{page}.md").read_text() for page in ("probes", "map"))
    assert [kind for kind in registry.RECORD_KINDS if f"\n## {kind}\n" not in described] == []
    kinds = (*registry.RECORD_KINDS, *registry.QUEUE_KINDS)
    assert [kind for kind in kinds if f"\n`kind: {kind}`" not in written] == []


@pytest.mark.parametrize("model", MODELS)
def test_every_word_of_the_map_is_documented(model: type[BaseModel]) -> None:
    text = (HOME / "docs" / "map.md").read_text()
    words = [field.alias or name for name, field in model.model_fields.items()]
    assert [word for word in words if f"`{word}`" not in text] == []


def test_every_command_is_in_the_readme() -> None:
    from auditor.cli import app

    text = (HOME / "README.md").read_text()
    names = [group.name or "" for group in app.registered_groups]
    for command in app.registered_commands:
        assert command.callback is not None
        names.append(command.name or command.callback.__name__)
    assert [name for name in names if f"`{name}`" not in text and f"`auditor {name}" not in text] == []


def test_every_environment_variable_is_documented() -> None:
    used: set[str] = set()
    for file in (HOME / "auditor").rglob("*.py"):
        used |= set(re.findall(r"AUDITOR_[A-Z_]+", file.read_text()))
    text = (HOME / "docs" / "operations.md").read_text()
    assert [name for name in sorted(used) if f"`{name}`" not in text] == []


def test_every_dependency_is_accounted_for_and_pinned() -> None:
    text = (HOME / "docs" / "dependencies.md").read_text().lower()
    for line in (HOME / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, pinned, version = line.partition("==")
            assert pinned, line
            assert version, line
            assert f"| {name.lower()}" in text, name
            assert f"{name.lower()}=={version}" in (HOME / "constraints.txt").read_text().lower(), name


def test_every_local_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[)#]", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_every_page_wraps_at_100_columns(page: Path) -> None:
    """Tables and code are excepted: breaking their lines would change what they say."""
    fenced, long = False, []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if not fenced and not line.startswith(("|", "    ")) and len(line) > 100:
            long.append(number)
    assert long == []


def test_the_readme_shows_exactly_the_two_commands() -> None:
    text = (HOME / "README.md").read_text()
    assert "$ make run " in text
    assert "$ make test " in text
    assert {"make test", "make test-browser"} <= {*(HOME / ".ci" / "run").read_text().splitlines()}


def test_the_repository_holds_no_secret_or_state() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=HOME, capture_output=True, text=True).stdout.split()
    assert [name for name in tracked if name.startswith(("var/", ".venv")) or name == ".env"] == []


def test_no_source_refers_to_a_document_that_is_not_here() -> None:
    """A tag such as one letter and two numbers says nothing to who has only this repository: the rule does."""
    tag = re.compile(r"\b[A-Z]\d{1,2}\.\d{1,2}\b(?!\d)")
    for folder in ("auditor", "probes", "checks", "demo", "benchmarks", "scripts", "tests"):
        for file in (HOME / folder).rglob("*.py"):
            found = [line.strip() for line in file.read_text().splitlines() if tag.search(line)]
            assert found == [], file
