"""Open divergences of the demo company, in a ledger and the lens over it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from checks.cause import Cause, Kind
from checks.differences import Difference, Shape
from checks.record_history import Divergence, DivergenceState
from tests import HOME, ledgers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMPANY = HOME / "tests" / "company.yaml"


def demo() -> IntegrationMap:
    return load_map(COMPANY, {"FOLDER": "/tmp/x", "BILLING": "http://127.0.0.1:1"})


def difference(field: str, pattern: str) -> Difference:
    return Difference(field=field, shape=Shape.VALUE, owner_value="", target_value="", pattern=pattern)


def lens_over(tmp_path: Path, *told: tuple[str, str, Difference]) -> tuple[Lens, Ledger]:
    ledger = ledgers.at(tmp_path / "ledger.sqlite")
    with ledger.write() as transaction:
        for number, (flow, cause, each) in enumerate(told):
            divergence = Divergence(
                key=number,
                kind=Kind.VALUE,
                cause=Cause(cause),
                state=DivergenceState.OPEN,
                first_seen_at=NOW,
                last_seen_at=NOW,
                opened_at=NOW,
                winner="owner",
                differences=(each,),
            )
            ledger.records.save_divergences(transaction, flow, "x", [divergence])
    lens = Lens(ledger)
    lens.refresh()
    return lens, ledger
