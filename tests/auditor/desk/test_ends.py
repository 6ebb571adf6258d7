"""When something ends, as people write it: a duration from now on, or an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auditor.desk.ends import end_of, instant_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2h", NOW + timedelta(hours=2)),
        ("7d", NOW + timedelta(days=7)),
        ("2026-03-31", datetime(2026, 3, 31, tzinfo=UTC)),
        (" 2026-03-31T18:00 ", datetime(2026, 3, 31, 18, tzinfo=UTC)),
        ("2026-03-31T18:00+02:00", datetime(2026, 3, 31, 16, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_duration_or_an_instant(text: str, end: datetime) -> None:
    assert end_of(text, NOW) == end


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "not a duration: 'soon'; .* or a time such as 2026-03-31T18:00"),
        ("", "not a duration: ''"),
        ("2026-13-31", "2026-13-31"),
        ("0001-01-01T00:00+23:00", "0001-01-01"),
    ],
)
def test_what_is_neither_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        end_of(text, NOW)


def test_an_instant_without_a_zone_is_in_utc() -> None:
    assert instant_of("2026-03-31T18:00") == datetime(2026, 3, 31, 18, tzinfo=UTC)
    with pytest.raises(ValueError, match="not a time: '2h'"):
        instant_of("2h")
