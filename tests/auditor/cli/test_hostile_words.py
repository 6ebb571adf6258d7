"""Every command with words that nobody means: a sentence and an exit code, no traceback, and nothing is made."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from auditor.cli import main
from tests.attacks.words import DIGITS, EVERYWHERE, WORDS
from tests.auditor.map.test_loader import GOOD

COMMANDS = {
    "check": ("--map={}",),
    "review": ("--map={}", "--fail-on={}"),
    "map": ("--map={}", "--diff={}", "--format={}"),
    "doctor": ("--map={}", "--data={}|--map=nowhere"),
    "once": ("--map={}", "--flow={}", "--wait={}|--flow=x", "--fail-on={}|--flow=x"),
    "run": ("--map=nowhere/{}", "--data={}|--map=nowhere"),
    "status": ("--map={}", "--data={}", "--fail-on={}"),
    "lag": ("--data={}", "--since={}", "--flow={}"),
    "coverage": ("--data={}", "--since={}", "--flow={}"),
    "backlog": ("--data={}", "--since={}", "--flow={}"),
    "letters": ("--data={}", "--since={}", "--flow={}"),
    "drift": ("--data={}", "--flow={}", "--fail-on={}"),
    "incidents": (
        *("{}", "--data={}", "--state={}", "--flow={}", "show|{}", "ack|{}", "ack|1|--by={}", "snooze|1|{}"),
        *("assign|1|{}", "comment|1|{}", "resolve|1|--text={}", "expected|1|--for={}", "expected|1|--until={}"),
        *("split|1|{}", "merge|1|{}", "times|--since={}", "silence|{}", "silence|--for={}", "silence|end|{}"),
        *("silence|--for=1h|--flow={}|--reason=x", "silence|--until={}|--reason=x", "silence|list|--data={}"),
    ),
    "repair": ("--data={}", "--flow={}", "--format={}"),
    "record": ("{}|1", "customer|--|{}|--map=nowhere"),
    "query": ("--file={}|--data=nowhere", "SELECT 1|--data={}", "SELECT 1|--data=nowhere|--timeout={}", "--saved={}"),
    "queries": (
        "--data={}",
        "show|{}",
        "save|{}|SELECT 1",
        "save|x|{}",
        "rename|{}|x",
        "rename|x|{}",
        "delete|{}|--yes",
    ),
    "conflicts": (
        *("{}", "--data={}", "show|{}", "decide|{}|crm", "decide|1|{}", "decide|1|crm|--within={}"),
        *("defer|1|{}", "assign|1|{}", "assign|1|me|--who={}", "comment|1|{}", "comment|1|me|--text={}"),
    ),
    "discover": ("{}|billing", "crm|{}", "crm|billing|--map={}"),
    "dashboard": (
        *("--port={}|--map=nowhere", "--map={}|--port=none", "--host={}|--map=nowhere", "--proxy={}|--map=nowhere"),
        *("--address={}|--map=nowhere", "--user-header={}|--map=nowhere"),
    ),
    "demo": ("--port=x{}", "{}|--port=none"),
    "schema": ("{}x",),
    "init": ("plumbline.yaml/{}", "nowhere/{}", "x{}|--nothing", "--preset={}"),
}
"""Arguments of each command, `|` between them; others keep it from serving or asking whatever the word is."""

ONE_IN = 12
"""A form of a command meets each twelfth word; all of them meet every kind of argument."""

FORMS = [
    (command, form, at) for at, (command, form) in enumerate((c, f) for c, forms in COMMANDS.items() for f in forms)
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AUDITOR_MAP", "AUDITOR_DATA", "AUDITOR_LEDGER", "AUDITOR_ARCHIVE", "AUDITOR_DIGEST_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "plumbline.yaml").write_text(GOOD)
    (tmp_path / "folder").mkdir()
    return tmp_path


def told(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[object, str]:
    """How a command ends, and what it says."""
    # As Python opens them: what standard error cannot hold is escaped, standard output takes whole text alone.
    said = {"stdout": io.TextIOWrapper(io.BytesIO(), encoding="utf-8")}
    said["stderr"] = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    monkeypatch.setattr(sys, "argv", ["auditor", *words])
    for name, stream in said.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(SystemExit) as ended:
        main()
    for stream in said.values():
        stream.flush()
    return ended.value.code, "".join(each.buffer.getvalue().decode() for each in said.values())


def assert_ended_well(code: object, text: str, words: list[str]) -> None:
    shown = [word[:60] for word in words]
    assert code in {0, 1, 2, 3}, shown
    assert text.strip(), shown
    assert "Traceback" not in text, shown
    assert not re.search(r"error: \w*(Error|Exception)\b|\[Errno 36", text), (shown, text[:300])
    # Typer repeats a word that it does not know in its own box, where no escape sequence is left.
    assert not set(text) & {"\x1b", "\0", "\x07"}, shown


@pytest.mark.parametrize(("command", "form", "at"), FORMS, ids=[f"{command} {form}" for command, form, _ in FORMS])
def test_no_words_end_a_command_with_a_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str, form: str, at: int
) -> None:
    before = {each.name for each in place.iterdir()}
    for word in [*EVERYWHERE, *WORDS[at % ONE_IN :: ONE_IN]]:
        words = [command, *form.replace("{}", word).split("|")]
        code, text = told(monkeypatch, *words)
        assert_ended_well(code, text, words)
    made = {each.name for each in place.iterdir()} - before
    assert made <= ({"var"} if command == "once" else set()), made


@pytest.mark.parametrize(
    "form",
    [
        "record|customer|{}|--map=nowhere",
        "lag|--since={}",
        "once|--wait={}",
        "conflicts|defer|1|{}",
        "query|{}|--data=nowhere",
    ],
)
def test_a_million_digits_are_refused_as_fast_as_one(place: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    words = form.replace("{}", DIGITS).split("|")
    code, text = told(monkeypatch, *words)
    assert code in {2, 3}
    assert_ended_well(code, text, words)


@pytest.mark.parametrize("command", [["--nothing"], ["\x1b[2J"], ["a" * 5_000], [""], ["\udcff"], ["check", "check"]])
def test_an_unknown_command_is_a_usage_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    code, text = told(monkeypatch, *command)
    assert code == 2
    assert_ended_well(code, text, command)


@pytest.mark.parametrize("name", ["AUDITOR_MAP", "AUDITOR_DATA", "AUDITOR_LEDGER", "AUDITOR_ARCHIVE", "sqlite"])
@pytest.mark.parametrize("command", [["status"], ["lag"], ["query", "SELECT 1"], ["once", "--wait=0s"], ["doctor"]])
def test_a_name_that_no_file_can_have_is_said_to_be_none(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], name: str
) -> None:
    long = "a" * 5_000
    if name == "sqlite":
        (place / "plumbline.yaml").write_text(GOOD.replace("crm.sqlite", long))
    else:
        monkeypatch.setenv(name, f"sqlite:///{long}" if name == "AUDITOR_LEDGER" else long)
    code, text = told(monkeypatch, *command)
    assert_ended_well(code, text, command)
    assert code in {2, 3}
    if name in {"AUDITOR_DATA", "AUDITOR_LEDGER"} and command[0] != "doctor":
        assert "File name too long" in text, text[:500]
    assert len(text) < 5_000


@pytest.mark.parametrize(
    "command", [["once", "--wait=0s"], ["record", "customer", "1"], ["discover", "crm", "billing"]]
)
def test_a_driver_that_is_missing_is_named_with_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    sqlite = 'kind: sql\n    url: "sqlite:///crm.sqlite"'
    (place / "plumbline.yaml").write_text(GOOD.replace(sqlite, "kind: mongodb\n    url: mongodb://127.0.0.1:1/x"))
    monkeypatch.setitem(sys.modules, "pymongo", None)
    code, text = told(monkeypatch, *command)
    assert_ended_well(code, text, command)
    assert code == 3
    assert "the driver pymongo is not installed (pip install 'plumbline-auditor[mongodb]')" in text
