"""What the pages say of views is what docs/views.md says, for every view and column."""

from __future__ import annotations

from auditor.history.lens import Lens
from auditor.history.view_meanings import meanings_of, view_meanings
from auditor.history.views import VIEWS
from tests import HOME
from tests.stand import Stand


def test_every_view_and_column_has_a_meaning_from_the_document(stand: Stand) -> None:
    assert view_meanings() == meanings_of((HOME / "docs" / "views.md").read_text())
    lens = Lens(stand.ledger)
    for view in VIEWS:
        meant = view_meanings()[view]
        assert meant.meaning.endswith(".")
        assert list(meant.columns) == lens.query(f"SELECT * FROM {view} LIMIT 0").column_names
        assert all(meant.columns.values())
    lens.close()


def test_links_of_the_document_are_words_on_a_page() -> None:
    document = (
        "# T\n\n## a\n\nOne row per [x](y.md). More.\n\n| column | meaning |\n|---|---|\n| `b` | see [c](#c) |\n"
    )
    meant = meanings_of(document)["a"]
    assert (meant.meaning, meant.columns) == ("One row per x.", {"b": "see c"})


def test_without_the_document_nothing_is_known() -> None:
    assert meanings_of("## Examples\n\nnone\n") == {}
