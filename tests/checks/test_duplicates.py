"""Records that share what only one may have."""

from __future__ import annotations

from checks.duplicates import Twin, is_the_double, shared, tell


def twin(key: int, *, at_owner: bool = True, same: bool = False) -> Twin:
    return Twin(key=key, at_owner=at_owner, same=same)


def test_the_one_that_the_owner_does_not_know_is_the_double() -> None:
    assert is_the_double(at_owner=False, twins=[twin(1)])
    assert not is_the_double(at_owner=True, twins=[twin(2, at_owner=False)])


def test_where_the_owner_knows_both_or_neither_either_may_be() -> None:
    assert is_the_double(at_owner=True, twins=[twin(2)])
    assert is_the_double(at_owner=False, twins=[twin(2, at_owner=False)])
    assert not is_the_double(at_owner=True, twins=[])


def test_twins_are_found_among_what_is_read_and_what_is_remembered() -> None:
    found = shared({1: b"a", 2: b"a", 3: b"b", 4: b"c"}, {b"b": [9], b"c": [4], b"a": [1, 7]})
    assert found == {1: [2, 7], 2: [1, 7], 3: [9]}


def test_it_is_told_what_is_shared_and_with_whom() -> None:
    assert tell("business key", ["email"], "billing", [twin(1)]) == "same email as 1 in billing"
    many = [twin(key) for key in range(5)]
    assert tell("business key", ["email"], "billing", many) == "same email as 0, 1, 2 and 2 more in billing"
    again = tell("idempotency key", ["event_id"], "billing", [twin(1)])
    assert again == "idempotency key of 1 used again with another payload in billing"
    twice = tell("idempotency key", ["event_id"], "billing", [twin(1, same=True)])
    assert twice == "processed again in billing under the idempotency key of 1"
