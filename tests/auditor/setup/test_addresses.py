"""What a person enters about two systems: understood, or refused in words that repeat no secret."""

from __future__ import annotations

import pytest

from auditor.setup.addresses import Entered, needs_password, pair_of, system_of
from auditor.setup.setup_error import SetupError

SECRET = "hunter2-0123456789"


def entered(address: str, **more: str) -> Entered:
    return Entered(address=address, **more)


def test_an_address_becomes_a_system_whose_map_entry_names_a_variable() -> None:
    system = system_of(entered(f"postgresql://ada:{SECRET}@db.example.com/crm"), 0, {})
    assert (system.name, system.kind, system.variable, system.known) == ("crm", "sql", "CRM_URL", False)
    assert system.text == '  crm: {kind: sql, url: "${CRM_URL}", zone: UTC}'
    assert SECRET not in repr(system)
    assert SECRET not in system.scrub(f"cannot connect to {system.address}")


def test_a_password_entered_apart_is_encoded_into_the_address() -> None:
    system = system_of(entered("postgresql://ada@h/crm", password="p@ss/w: rd${X}"), 0, {})
    assert system.address == "postgresql://ada:p%40ss%2Fw%3A%20rd%24%7BX%7D@h/crm"
    assert system.settings.url.get_secret_value() == system.address


def test_a_variable_stands_for_the_address_that_it_holds() -> None:
    for written in ("${CRM_ADDRESS}", "$CRM_ADDRESS", " ${CRM_ADDRESS} "):
        system = system_of(entered(written), 0, {"CRM_ADDRESS": "sqlite:////data/crm.sqlite"})
        assert (system.variable, system.known, system.name) == ("CRM_ADDRESS", True, "crm")
    with pytest.raises(SetupError, match="environment variable CRM_ADDRESS is not set"):
        system_of(entered("${CRM_ADDRESS}"), 0, {})


def test_a_variable_that_holds_something_else_is_left_alone() -> None:
    address = "sqlite:////data/crm.sqlite"
    other = {"CRM_URL": "sqlite:////data/other.sqlite", "CRM_2_URL": ""}
    assert system_of(entered(address), 0, other).variable == "CRM_3_URL"
    same = system_of(entered(address), 0, {"CRM_URL": address})
    assert (same.variable, same.known) == ("CRM_URL", True)


def test_what_a_env_file_would_replace_is_encoded() -> None:
    assert system_of(entered("sqlite:////data/${x}.sqlite"), 0, {}).address == "sqlite:////data/%24{x}.sqlite"


def test_a_host_without_a_database_gives_the_name_and_no_login_does() -> None:
    system = system_of(entered(f"postgresql://ada:{SECRET}@db.example.com"), 0, {})
    assert system.name == "db"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (entered(""), "enter an address"),
        (entered("crm.sqlite"), "not a database URL"),
        (entered(f"oracle://ada:{SECRET}@h/x"), "no SQL probe for 'oracle'"),
        (entered(f"postgresql://ada:{SECRET}@@h/x"), "must be percent-encoded"),
        (entered(f"postgresql://ada:{SECRET}@h/x?timeout=3"), "timeout is not honoured"),
        (entered("postgresql://h/x", password=SECRET), "a password needs a user"),
        (entered(f"postgresql://ada:{SECRET}@h/x", password=SECRET), "a password needs a user"),
        (entered("sqlite:///a", zone="Mars/Base"), "unknown time zone"),
        (entered("sqlite:///a", name="9 lives"), "a letter followed by"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_secret(given: Entered, why: str) -> None:
    with pytest.raises(SetupError) as refused:
        system_of(given, 0, {})
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_two_systems_are_two() -> None:
    one, other = entered("sqlite:///a/crm.sqlite"), entered("sqlite:///b/crm.sqlite")
    with pytest.raises(SetupError, match="is the address of the source of truth"):
        pair_of(one, one, {})
    assert [each.name for each in pair_of(one, other, {})] == ["crm", "crm_copy"]
    with pytest.raises(SetupError, match="crm is the name of the source of truth"):
        pair_of(one, entered("sqlite:///b/crm.sqlite", name="crm"), {})
    mine, theirs = pair_of(one, entered("sqlite:///b/crm.sqlite", name="CRM"), {})
    assert (mine.variable, theirs.variable) == ("CRM_URL", "CRM_2_URL")
    with pytest.raises(SetupError, match="system with the copies: enter an address"):
        pair_of(one, entered(""), {})


def test_who_is_asked_for_a_password() -> None:
    assert needs_password("postgresql://ada@h/x")
    for address in ("postgresql://ada:x@h/x", "postgresql://h/x", "sqlite:////a@b/c", "${CRM_URL}"):
        assert not needs_password(address)
