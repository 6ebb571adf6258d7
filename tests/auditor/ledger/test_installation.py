"""The digest key that a ledger was made with: another is refused until it is meant."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.ledger import Ledger, LedgerError
from tests.auditor.cli.process import auditor
from tests.auditor.ledger.rows import dump
from tests.stand import Stand

KEY = "k" * 32


def test_another_digest_key_is_refused_and_nothing_is_written(stand: Stand, ledger: Ledger) -> None:
    first, second = b"a" * 32, b"b" * 32
    ledger.installation.check_key(second)  # a ledger that knows none yet, and one that only reads
    ledger.installation.check_key(first, adopt=True)
    ledger.installation.check_key(first)
    for more in ({}, {"adopt": True}):
        with pytest.raises(LedgerError, match="a digest key other than") as refused:
            ledger.installation.check_key(second, **more)
        assert "AUDITOR_DIGEST_KEY" in str(refused.value)
        assert "b" * 8 not in str(refused.value)
    ledger.installation.check_key(second, accept_new=True)
    ledger.installation.check_key(second)
    with pytest.raises(LedgerError, match="a digest key other than"):
        ledger.installation.check_key(first, adopt=True)


def test_commands_refuse_another_key_until_it_is_meant(stand: Stand) -> None:
    places = ["--map", stand.map_file, "--data", stand.place / "var"]
    stand.put("crm", 1)
    stand.put("billing", 1)
    more: dict[str, Any] = {"AUDITOR_LEDGER": stand.ledger_url}
    assert auditor("once", *places, **more, AUDITOR_DIGEST_KEY=KEY).returncode == 0
    before = dump(stand.ledger)
    for command in ("once", "run", "repair", "doctor"):
        done = auditor(command, *places, **more, AUDITOR_DIGEST_KEY="another key of some length")
        assert done.returncode != 0, command
        assert "was made with a digest key other than" in done.stderr, command
    assert dump(stand.ledger) == before
    told = auditor("once", *places, "--new-digest-key", **more, AUDITOR_DIGEST_KEY="another key of some length")
    assert told.returncode == 0, told.stderr
    assert [row["verdict"] for row in stand.rows("changes")] == []
