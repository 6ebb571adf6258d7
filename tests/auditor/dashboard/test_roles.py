"""Who is meant by a list of names, domains and groups."""

from __future__ import annotations

import pytest

from auditor.dashboard.roles import Named, named


def test_a_list_holds_names_domains_and_groups() -> None:
    assert named(" , ") is None
    found = named("Ada@Example.com, @Example.org,group: Data Ops ,Bob")
    assert found == Named(
        names=frozenset({"ada@example.com", "Bob"}),
        domains=frozenset({"@example.org"}),
        groups=frozenset({"Data Ops"}),
    )


@pytest.mark.parametrize(
    ("name", "groups", "held"),
    [
        ("ada@example.com", [], True),
        ("ADA@EXAMPLE.COM", [], True),
        ("ada@example.com.evil.example", [], False),
        ("eve@example.org", [], True),
        ("eve@sub.example.org", [], False),
        ("eve@evil.example@example.org", [], False),
        ("@example.org", [], False),
        ("Bob", [], True),
        ("bob", [], False),
        ("eve", ["staff", "ops"], True),
        ("eve", ["OPS"], False),
        ("group:ops", [], False),
        ("\u212aay@example.com", [], False),  # a sign that `lower` makes a k
        ("", [], False),
    ],
)
def test_a_person_is_held_by_name_domain_or_group(name: str, groups: list[str], held: bool) -> None:
    people = named("ada@example.com, kay@example.com, @example.org, Bob, group:ops")
    assert people is not None
    assert people.holds(name, groups) is held


@pytest.mark.parametrize("text", ["group:", "group: ", "@example", "@a@example.com", "*", "*@example.com"])
def test_an_entry_that_names_nobody_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"group|domain|wildcards"):
        named(f"ada, {text}")
