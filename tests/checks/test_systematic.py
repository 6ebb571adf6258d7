"""One mistake that is visible in many records."""

from __future__ import annotations

from checks.systematic import is_systematic, most_alike, pattern_text


def differing(field: str, pattern: str, records: int) -> list[list[dict[str, str]]]:
    return [[{"field": field, "pattern": pattern}]] * records


def test_what_most_records_of_a_field_share_is_one_mistake() -> None:
    alike = most_alike([*differing("signed_at", "+02:00", 7), *differing("signed_at", "", 2)])
    assert alike is not None
    assert alike.text_of("warehouse") == "signed_at in warehouse is off by +02:00 in 7 of 9 records"


def test_the_mistake_of_the_most_records_is_named() -> None:
    alike = most_alike([*differing("name", "cut", 3), *differing("amount", "times 100", 5)])
    assert alike is not None
    assert (alike.field, alike.pattern, alike.records, alike.of) == ("amount", "times 100", 5, 5)


def test_few_records_a_minority_and_vague_patterns_are_no_mistake() -> None:
    assert most_alike([]) is None
    assert most_alike(differing("amount", "times 100", 2)) is None
    assert most_alike([*differing("amount", "times 100", 4), *differing("amount", "", 5)]) is None
    assert most_alike(differing("amount", "higher", 50)) is None
    assert not is_systematic("", 50, 50)


def test_a_pattern_reads_as_part_of_a_sentence() -> None:
    assert pattern_text("+02:00") == "off by +02:00"
    assert pattern_text("NFC to NFD") == "in Unicode NFD instead of NFC"
    assert pattern_text("cut") == "cut short"
    assert pattern_text("times 100") == "times 100"
