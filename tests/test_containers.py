"""What compose.yaml and the Dockerfile name is there: commands, options, variables, paths, extras and ports.

No container is started here: what only Docker can show is not tested.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from auditor.cli import app
from auditor.dashboard.serving import LOOPBACK
from demo.engines import VARIABLES
from tests import HOME

COMPOSE: dict[str, Any] = YAML(typ="safe").load((HOME / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
ENGINES = ("documents", "warehouse", "bus")
"""Services that are systems of the demo company."""

PROJECT: dict[str, Any] = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]

STEPS = re.findall(r"^([A-Z]+) (.*)$", (HOME / "Dockerfile").read_text().replace("\\\n", " "), flags=re.MULTILINE)
"""The instructions of the Dockerfile."""


def arguments(instruction: str) -> list[str]:
    """What follows each instruction of this name."""
    return [text.strip() for name, text in STEPS if name == instruction]


IMAGE = dict(re.findall(r"([A-Z]+(?:_[A-Z]+)*)=(\S+)", " ".join(arguments("ENV"))))
"""The image's environment."""


def parsed(words: list[str]) -> Any:
    """A command with its options, as the CLI reads them; nothing is run."""
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    return command.make_context(words[0], list(words[1:]))


def environment(service: str) -> dict[str, str]:
    """The environment of a service where nothing is set outside."""
    text = {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in text.items()}


def test_the_services_are_those_that_the_documentation_names() -> None:
    assert set(SERVICES) == {"ledger", "auditor", "dashboard", "demo", "demo-engines", *ENGINES}
    assert {name: SERVICES[name]["profiles"] for name in SERVICES if "profiles" in SERVICES[name]} == {
        "demo": ["demo"],
        **{name: ["engines"] for name in ("demo-engines", *ENGINES)},
    }
    text = (HOME / "docs" / "operations.md").read_text()
    assert [name for name in SERVICES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("service", OURS)
def test_a_service_runs_a_command_that_the_command_line_has(service: str) -> None:
    asked = parsed(SERVICES[service]["command"])
    assert [name for name in asked.params if getattr(asked.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    assert arguments("ENTRYPOINT") == ['["auditor"]']


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_change_nothing_but_its_volumes(service: str) -> None:
    about = SERVICES[service]
    assert about["read_only"] is True
    assert about["cap_drop"] == ["ALL"]
    assert about["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in about["tmpfs"]
    assert about["user"] not in {"", "root", "0", "0:0"}
    assert "privileged" not in about
    named = [each.split(":")[0] for each in about["volumes"] if isinstance(each, str)]
    assert named
    assert set(named) <= set(COMPOSE["volumes"])
    assert all(each["read_only"] for each in about["volumes"] if not isinstance(each, str))


def test_the_image_runs_as_the_user_who_owns_the_volume() -> None:
    (user,) = arguments("USER")
    assert {SERVICES[name]["user"] for name in OURS} == {user}
    made = next(text for text in arguments("RUN") if "useradd" in text)
    assert f"--uid {user.split(':')[0]} " in made
    folder = IMAGE["AUDITOR_DATA"]
    assert f"--mode 0700 --owner plumbline --group plumbline {folder}" in made
    assert arguments("VOLUME") == [folder]
    for name in OURS:
        assert any(str(each).endswith(f":{folder}") for each in SERVICES[name]["volumes"]), name
    assert IMAGE["HOME"] in SERVICES["auditor"]["tmpfs"]


def test_the_map_is_where_it_is_looked_for() -> None:
    for name in ("auditor", "dashboard"):
        (config,) = (each for each in SERVICES[name]["volumes"] if not isinstance(each, str))
        assert IMAGE["AUDITOR_MAP"] == f"{config['target']}/plumbline.yaml"


def test_only_this_machine_reaches_what_listens() -> None:
    assert {name for name in SERVICES if SERVICES[name].get("network_mode") == "host"} == set(OURS)
    asked = parsed(SERVICES["dashboard"]["command"]).params
    assert asked["address"] == LOOPBACK
    assert not asked["host"]
    assert SERVICES["ledger"]["ports"] == ["127.0.0.1:${LEDGER_PORT:-5433}:5432"]
    assert all(port.startswith("127.0.0.1:") for name in ENGINES for port in SERVICES[name]["ports"])
    assert all("ports" not in SERVICES[name] for name in OURS)


def test_the_engines_that_are_started_are_those_that_the_company_uses() -> None:
    named = environment("demo-engines")
    for system, variable in VARIABLES.items():
        (port,) = SERVICES[system]["ports"]
        assert f"127.0.0.1:{port.split(':')[1]}" in named[variable]
        assert SERVICES["demo-engines"]["depends_on"][system] == {"condition": "service_healthy"}
    assert set(VARIABLES) == set(ENGINES)


@pytest.mark.parametrize("service", OURS)
def test_a_service_is_healthy_if_its_own_address_says_so(service: str) -> None:
    check = SERVICES[service]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "python", "-c"]
    constants = {each.value for each in ast.walk(ast.parse(check[3])) if isinstance(each, ast.Constant)}
    asked = parsed(SERVICES[service]["command"]).params
    if service == "dashboard":
        assert {"127.0.0.1", asked["port"], "/_stcore/health"} <= constants
    else:
        assert {"127.0.0.1", asked["status_port"], "/healthz"} <= constants


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_has_a_health_check(service: str) -> None:
    for name, how in SERVICES[service].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[name]
        assert SERVICES[name].get("profiles", SERVICES[service].get("profiles")) == SERVICES[service].get("profiles")


def test_the_ledger_that_is_made_is_the_one_that_is_used() -> None:
    made = environment("ledger")
    for name in ("auditor", "dashboard"):
        url = environment(name)["AUDITOR_LEDGER"]
        login, place = f"{made['POSTGRES_USER']}:{made['POSTGRES_PASSWORD']}", "127.0.0.1:5433"
        assert url == f"postgresql://{login}@{place}/{made['POSTGRES_DB']}"
    check = SERVICES["ledger"]["healthcheck"]["test"]
    assert check[check.index("--username") + 1] == made["POSTGRES_USER"]
    assert check[check.index("--dbname") + 1] == made["POSTGRES_DB"]


def test_every_variable_is_one_that_the_programs_read_or_the_documentation_names() -> None:
    names = {name for service in OURS for name in SERVICES[service].get("environment", {})} | set(IMAGE)
    text = (HOME / "docs" / "operations.md").read_text()
    ours = {name for name in names if name.startswith("AUDITOR_") or name == "SLACK_WEBHOOK_URL"}
    assert [name for name in sorted(ours) if f"| `{name}` |" not in text] == []
    assert names - ours - {*VARIABLES.values()} == {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    outside = set(re.findall(r"\$\{(\w+)", (HOME / "compose.yaml").read_text()))
    assert [name for name in sorted(outside) if f"`{name}`" not in text] == []


def test_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        secrets = {each: value for each, value in service.get("environment", {}).items() if "PASSWORD" in each}
        assert all(re.fullmatch(r"\$\{\w+:-\}", value) for value in secrets.values()), name
    ignored = (HOME / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert "**/.env" in ignored
    assert subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=HOME).returncode == 0


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    sources = [word for text in arguments("COPY") if not text.startswith("--from") for word in text.split()[:-1]]
    assert [each for each in sources if not (HOME / each).exists()] == []
    ignored = (HOME / ".dockerignore").read_text().splitlines()
    assert {each.removeprefix("!") for each in ignored if each.startswith("!")} == set(sources)
    packages = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    assert {each.removesuffix("*") for each in packages} <= set(sources)


def test_the_image_holds_every_driver_and_a_python_that_is_supported() -> None:
    (extras,) = (text.removeprefix("EXTRAS=").split(",") for text in arguments("ARG"))
    assert extras == sorted(PROJECT["optional-dependencies"])
    versions = {tuple(map(int, re.findall(r"python:(\d+)\.(\d+)", text)[0])) for text in arguments("FROM")}
    assert len(versions) == 1
    assert min(versions) >= tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert {SERVICES[name]["image"] for name in OURS} == {f"plumbline-auditor:{PROJECT['version']}"}


def test_the_folders_of_the_demo_and_of_an_installation_are_not_the_same() -> None:
    kept = [{str(each) for each in SERVICES[name]["volumes"]} for name in ("auditor", "demo", "demo-engines")]
    assert len(set.union(*kept)) == sum(map(len, kept))
    for name in ("demo", "demo-engines"):
        assert parsed(SERVICES[name]["command"]).params["data"] == Path(IMAGE["AUDITOR_DATA"])
        assert "AUDITOR_LEDGER" not in SERVICES[name]["environment"]
