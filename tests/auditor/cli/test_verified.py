"""`auditor verified`: what is known of one record, and whether that is recent enough."""

from __future__ import annotations

import json
import subprocess

from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_verified_says_what_is_known_of_one_record(stand: Stand, places: list[object]) -> None:
    def verified(*words: str) -> subprocess.CompletedProcess[str]:
        return auditor("verified", *words, *places, AUDITOR_LEDGER=stand.ledger_url, AUDITOR_DIGEST_KEY="k" * 32)

    assert verified("customer", "3").returncode == 3
    stand.agree(5)
    done = verified("customer", "3", "--within", "1h", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "verified")
    done = verified("customer", "3", "--within", "1ms")
    assert done.returncode == 3
    assert "at most 1 ms are allowed" in " ".join(done.stdout.split())
    done = verified("customer", "3", "--within", "1ms", "--read", "--json")
    assert (done.returncode, json.loads(done.stdout)["read_live"]) == (3, True)  # even that takes longer
    done = verified("customer", "3", "--within", "1m", "--read")
    assert (done.returncode, "customer 3: verified as of" in done.stderr) == (0, True)
    stand.put("billing", 3, name="Eve")
    done = verified("customer", "3", "--within", "1ms", "--read")
    assert done.returncode == 3
    for words in (["customer", "x"], ["nothing", "3"], ["customer", "3", "--within", "soon"]):
        assert verified(*words).returncode == 2
