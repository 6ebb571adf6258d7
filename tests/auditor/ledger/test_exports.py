"""What the ledger gives to those who read it all: columns without digests, in the views' order."""

from __future__ import annotations

from auditor.history.views import COLUMNS
from auditor.ledger import Ledger


def test_the_views_list_the_columns_of_every_table_that_they_read(ledger: Ledger) -> None:
    """Whoever adds a column to a table adds it to `auditor.history.views.COLUMNS`, in the same place."""
    for source, columns in COLUMNS.items():
        assert list(columns.items()) == ledger.exports.columns(source), source


def test_digests_are_not_shown_to_readers(ledger: Ledger) -> None:
    for source in ("changes", "divergences"):
        names = [name for name, _ in ledger.exports.columns(source)]
        assert "fingerprint" not in names
        assert "version" not in names
