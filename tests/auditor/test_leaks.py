"""From the map to the terminal and the ledger: no word of a password on the whole way."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.auditor.cli.process import auditor
from tests.probes.chatter import PASSWORD
from tests.probes.test_secrets import assert_discreet
from tests.servers import free_port

MAP = """\
systems:
  crm: {kind: sql, url: "${CRM}", zone: UTC, budget: {timeout: 1s}}
  billing: {kind: sql, url: "${BILLING}", zone: UTC, budget: {timeout: 1s}}
data_types:
  customer:
    owner: crm
    window: 4s
    key_type: integer
    fields: {name: {type: string}}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      billing: {collection: customers, key: id}
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: real-time
    queues:
      dead: {kind: redis, url: "${QUEUE}", name: letters, timeout: 1s}
alerts:
  webhook: {url: "${HOOK}"}
"""

QUOTED = quote(PASSWORD, safe="")


def told(tmp_path: Path, *words: str, **addresses: str) -> tuple[int, str]:
    """What a command says on both streams, and everything that it leaves on the disk."""
    (tmp_path / "map.yaml").write_text(MAP)
    right = {
        "CRM": f"postgresql://someone:{QUOTED}@127.0.0.1:{free_port()}/x",
        "BILLING": f"mariadb://someone:{QUOTED}@no-such-host.invalid:3306/x",
        "QUEUE": f"redis://someone:{QUOTED}@127.0.0.1:{free_port()}",
        "HOOK": f"http://someone:{QUOTED}@127.0.0.1:{free_port()}/x",
    }
    data = tmp_path / "var"
    places = ["--map", tmp_path / "map.yaml", *(["--data", data] if words[0] != "check" else [])]
    done = auditor(*words, *places, cwd=None, **{**right, **addresses})
    left = "".join(file.read_bytes().decode("utf-8", "replace") for file in data.rglob("*") if file.is_file())
    return done.returncode, done.stdout + done.stderr + left


@pytest.mark.parametrize("word", ["CRM", "BILLING", "QUEUE", "HOOK"])
def test_check_refuses_an_unquoted_password_and_shows_none_of_it(tmp_path: Path, word: str) -> None:
    schemes = {"CRM": "postgres", "BILLING": "mysql", "QUEUE": "redis", "HOOK": "https"}
    code, said = told(tmp_path, "check", **{word: f"{schemes[word]}://someone:{PASSWORD}@host/x"})
    assert code == 2
    assert "percent-encoded: write @ as %40, / as %2F, ? as %3F, # as %23" in said
    assert_discreet(said)


@pytest.mark.parametrize("words", [("doctor",), ("once", "--wait", "1s"), ("status",)])
def test_no_command_and_no_file_shows_a_password(tmp_path: Path, words: tuple[str, ...]) -> None:
    told(tmp_path, "once", "--wait", "1s")
    code, said = told(tmp_path, *words)
    assert code == 3
    assert_discreet(said)


def test_a_ledger_that_cannot_be_reached_shows_no_password(tmp_path: Path) -> None:
    ledger = f"postgres://someone:{QUOTED}@127.0.0.1:{free_port()}/x"
    code, said = told(tmp_path, "status", AUDITOR_LEDGER=ledger)
    assert code == 3
    assert "cannot open the ledger" in said
    assert_discreet(said)
    code, said = told(tmp_path, "status", AUDITOR_LEDGER=f"postgresql://someone:{PASSWORD}@host/x")
    assert code == 2
    assert "write @ as %40" in said
    assert_discreet(said)
