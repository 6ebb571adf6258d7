"""The views beside the query editor: types in words, meanings, and a filter."""

from __future__ import annotations

from auditor.dashboard.schema_panel import matching, views_of

VIEWS = views_of(
    {
        "changes": [("id", "BIGINT"), ("settled_at", "TIMESTAMP WITH TIME ZONE"), ("lag_lower_s", "DOUBLE")],
        "noise": [("field", "VARCHAR"), ("odd", "STRUCT(a INTEGER)")],
    }
)


def test_columns_have_types_and_meanings_in_words() -> None:
    changes, noise = VIEWS
    assert [each.word for each in changes.columns] == ["integer", "instant", "number"]
    assert changes.meaning == "One row per change of the owner, followed to its deadline."
    assert changes.columns[2].meaning == "the lag is longer than this"
    assert [(each.word, each.meaning) for each in noise.columns][1] == ("struct(a integer)", "")
    assert changes.select == "SELECT id, settled_at, lag_lower_s\nFROM changes\nLIMIT 100"


def test_the_filter_finds_views_columns_and_meanings() -> None:
    def found(wanted: str) -> list[tuple[str, list[str]]]:
        return [(view.name, [each.name for each in view.columns]) for view in matching(VIEWS, wanted)]

    assert found("") == found(" ") == [("changes", ["id", "settled_at", "lag_lower_s"]), ("noise", ["field", "odd"])]
    assert found("NOISE") == [("noise", ["field", "odd"])]
    assert found("settled") == [("changes", ["settled_at"])]
    assert found("longer than") == [("changes", ["lag_lower_s"])]
    assert found("nothing like it") == []
