"""What a person enters about two systems: understood, or refused in words that repeat no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditor.setup.addresses import Entered, asked, kind_of, kinds, needs_password, pair_of, system_of
from auditor.setup.setup_error import SetupError
from probes.records.sql.database_url import read_url
from tests.auditor.setup.pair import database, fill

SECRET = "hunter2-0123456789"


def test_an_address_becomes_a_system_whose_map_entry_names_a_variable() -> None:
    system = system_of(database(f"postgresql://ada:{SECRET}@db.example.com/crm"), 0, {})
    assert (system.name, system.kind, [*system.values], {*system.known}) == ("crm", "sql", ["CRM_URL"], set())
    assert system.text == '  crm: {kind: sql, url: "${CRM_URL}", zone: UTC}'
    assert SECRET not in repr(system)
    assert SECRET not in system.scrub(f"cannot connect to {system.words['url']}")


def test_a_password_entered_apart_is_encoded_into_the_address() -> None:
    system = system_of(database("postgresql://ada@h/crm", password="p@ss/w: rd${X}"), 0, {})
    assert system.words["url"] == "postgresql://ada:p%40ss%2Fw%3A%20rd%24%7BX%7D@h/crm"
    assert system.settings.url.get_secret_value() == system.words["url"]


def test_a_variable_stands_for_the_address_that_it_holds() -> None:
    for written in ("${CRM_ADDRESS}", " ${CRM_ADDRESS} "):
        system = system_of(database(written), 0, {"CRM_ADDRESS": "sqlite:////data/crm.sqlite"})
        assert (system.variables, {*system.known}, system.name) == ({"url": "CRM_ADDRESS"}, {"CRM_ADDRESS"}, "crm")
    with pytest.raises(SetupError, match="environment variable CRM_ADDRESS is not set"):
        system_of(database("${CRM_ADDRESS}"), 0, {})


def test_a_variable_for_a_part_of_an_address_is_refused_without_telling_it() -> None:
    with pytest.raises(SetupError, match="whole address, but not for a part of it") as refused:
        system_of(database("postgresql://ada:${PART_OF_IT}@h/crm"), 0, {"PART_OF_IT": SECRET})
    assert "PART_OF_IT" not in str(refused.value)
    written = system_of(database("postgresql://ada:%24{PART_OF_IT}@h/crm"), 0, {})
    assert "$" not in written.words["url"]


def test_a_variable_that_holds_something_else_is_left_alone() -> None:
    address = "sqlite:////data/crm.sqlite"
    other = {"CRM_URL": "sqlite:////data/other.sqlite", "CRM_2_URL": ""}
    assert system_of(database(address), 0, other).variables == {"url": "CRM_3_URL"}
    same = system_of(database(address), 0, {"CRM_URL": address})
    assert (same.variables, {*same.known}) == ({"url": "CRM_URL"}, {"CRM_URL"})


def test_what_a_env_file_would_replace_is_encoded() -> None:
    assert system_of(database("sqlite:////data/$${.sqlite"), 0, {}).words["url"] == "sqlite:////data/$%24{.sqlite"


def test_a_host_without_a_database_gives_the_name_and_no_login_does() -> None:
    system = system_of(database(f"postgresql://ada:{SECRET}@db.example.com"), 0, {})
    assert system.name == "db"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (database(""), "enter an address"),
        (database("crm.sqlite"), "not a database URL"),
        (database(f"oracle://ada:{SECRET}@h/x"), "not supported; the address of one that is begins with"),
        (database("mssql+pyodbc://h/x"), "begins with postgresql://, mariadb://, mysql://, mongodb:// or sqlite:///"),
        (database("${ELSEWHERE}"), "not supported"),
        (database(f"postgresql://ada:{SECRET}@@h/x"), "must be percent-encoded"),
        (database(f"postgresql://ada:{SECRET}@h/x?timeout=3"), "timeout is not honoured"),
        (database("postgresql://h/x", password=SECRET), "a password needs a user"),
        (database(f"postgresql://ada:{SECRET}@h/x", password=SECRET), "a password needs a user"),
        (database("sqlite:///a", zone="Mars/Base"), "unknown time zone"),
        (database("sqlite:///a", name="9 lives"), "a letter followed by"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_secret(given: Entered, why: str) -> None:
    with pytest.raises(SetupError) as refused:
        system_of(given, 0, {"ELSEWHERE": f"oracle://ada:{SECRET}@h/x"})
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_two_systems_are_two() -> None:
    one, other = database("sqlite:///a/crm.sqlite"), database("sqlite:///b/crm.sqlite")
    with pytest.raises(SetupError, match="is the address of the source of truth"):
        pair_of(one, one, {})
    assert [each.name for each in pair_of(one, other, {})] == ["crm", "crm_copy"]
    with pytest.raises(SetupError, match="crm is the name of the source of truth"):
        pair_of(one, database("sqlite:///b/crm.sqlite", name="crm"), {})
    mine, theirs = pair_of(one, database("sqlite:///b/crm.sqlite", name="CRM"), {})
    assert (mine.variables, theirs.variables) == ({"url": "CRM_URL"}, {"url": "CRM_2_URL"})
    with pytest.raises(SetupError, match="system with the copies: enter an address"):
        pair_of(one, database(""), {})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://a:b@h/d", "postgres://a:b@H:5432/d", True),
        ("postgresql://a:b@h/d", "postgresql+psycopg://a:b@h/d", True),
        ("postgresql://a:b@h/d", "postgresql://A:b@h/d", False),
        ("postgresql://h/d", "postgresql://h/D", False),
        ("postgresql://h:5433/d", "postgresql://h/d", False),
        ("mysql://a:b@h/d", "mariadb://a:b@h:3306/d", True),
        ("sqlite:////data/crm.sqlite", "sqlite:////data/x/../crm.sqlite", True),
        ("sqlite:////data/crm.sqlite", "sqlite:////data/CRM.sqlite", False),
        ("sqlite:////data/crm.sqlite", "sqlite:///file:/data/crm.sqlite?mode=ro", True),
        ("postgresql://a:b@h/d", "postgresql://a:%62@h/%64/?sslmode=require", True),
        ("postgresql://h/d", "postgresql://h/d?options=-csearch_path%3Dcopy", False),
        ("mongodb://a:b@h/d", "mongodb://a:b@h:27017/d?replicaSet=x", True),
    ],
)
def test_one_database_is_one_however_its_address_is_written(one: str, other: str, same: bool) -> None:
    if not same:
        assert len(pair_of(database(one), database(other, name="copy"), {})) == 2
        return
    with pytest.raises(SetupError, match="this is the address of the source of truth"):
        pair_of(database(one), database(other, name="copy"), {})


def test_the_path_of_a_sqlite_file_is_answered_with_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    (tmp_path / "crm.sqlite").rename(tmp_path / "c r%m.db")
    (tmp_path / "other.txt").write_text("SQLite\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("c r%m.db", "./c r%m.db", "~/c r%m.db", f"'{tmp_path}/c r%m.db'"):
        for refuse in (lambda path=path: kind_of(path), lambda path=path: system_of(database(path), 0, {})):
            with pytest.raises(SetupError) as refused:
                refuse()
            address = str(refused.value).removeprefix("not a database URL; for this SQLite file write ")
            assert address == f"sqlite:///{tmp_path}/c%20r%25m.db"
            assert Path(read_url(address).database or "").samefile("c r%m.db")
    os.mkfifo("pipe")
    for path in ("pipe", "other.txt", "none.db", ".", "\0"):
        with pytest.raises(SetupError, match="not a database URL; write for example"):
            kind_of(path)


def test_an_address_may_be_in_quotes() -> None:
    for quote in "'\"":
        address = f"{quote}postgresql://ada:{SECRET}@h/crm{quote}"
        assert kind_of(address) == "database"
        assert system_of(database(address), 0, {}).words["url"] == address[1:-1]
        assert database(address).remembered.words == {}
        assert needs_password(f"{quote}postgresql://ada@h/crm{quote}")
        assert system_of(database(f"{quote}${{CRM}}{quote}"), 0, {"CRM": "sqlite:///a"}).variables == {"url": "CRM"}
        proxy = account("hubspot", token=TOKEN, url=f"{quote}https://proxy.example.com{quote}")
        assert system_of(proxy, 0, {}).words["url"] == "https://proxy.example.com"
        secret = f"{quote}{SECRET}{quote}"
        assert system_of(account("hubspot", token=secret), 0, {}).words["token"] == secret


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "crm.sqlite")
    with pytest.raises(SetupError, match="this is the address of the source of truth"):
        pair_of(database(f"sqlite:///{tmp_path}/crm.sqlite"), database(f"sqlite:///{tmp_path}/link.sqlite"), {})


def test_who_is_asked_for_a_password() -> None:
    assert needs_password("postgresql://ada@h/x")
    for address in ("postgresql://ada:x@h/x", "postgresql://h/x", "sqlite:////a@b/c", "${CRM_URL}"):
        assert not needs_password(address)


TOKEN = "pat-eu1-hunter2-0123456789"


def account(kind: str, **words: str) -> Entered:
    return Entered(kind=kind, words=words)


def test_an_account_becomes_a_system_whose_secrets_the_map_takes_from_variables() -> None:
    hubspot = system_of(account("hubspot", token=f" {TOKEN}\n"), 0, {})
    assert (hubspot.name, hubspot.values) == ("hubspot", {"HUBSPOT_TOKEN": TOKEN})
    assert hubspot.text == '  hubspot: {kind: hubspot, token: "${HUBSPOT_TOKEN}", budget: {calls_per_s: 9}}'
    assert hubspot.settings.token.get_secret_value() == TOKEN
    assert hubspot.settings.budget.calls_per_s == 9
    words = {"url": "https://example.my.salesforce.com", "client_id": "3MVG9.abcdef", "client_secret": TOKEN}
    salesforce = system_of(account("salesforce", **words), 1, {})
    assert salesforce.text == (
        '  salesforce: {kind: salesforce, url: "https://example.my.salesforce.com", '
        'client_id: "${SALESFORCE_CLIENT_ID}", client_secret: "${SALESFORCE_CLIENT_SECRET}"}'
    )
    for each in (hubspot, salesforce):
        assert TOKEN not in repr(each)
        assert TOKEN not in each.scrub(f"refused {TOKEN}")
        assert each.known == frozenset()


def test_an_address_of_an_api_stands_in_the_map_unless_it_is_the_usual_one() -> None:
    proxy = system_of(account("stripe", key=f"rk_{TOKEN}", url="https://proxy.example.com"), 0, {})
    assert 'url: "https://proxy.example.com"' in proxy.text
    assert "url" not in system_of(account("stripe", key=f"rk_{TOKEN}", url=""), 0, {}).text


def test_any_word_of_an_account_may_be_a_variable() -> None:
    environment = {"MY_TOKEN": TOKEN, "PROXY": "https://proxy.example.com"}
    system = system_of(account("hubspot", token="${MY_TOKEN}", url="${PROXY}"), 0, environment)
    assert system.values == environment
    assert {*system.known} == {*environment}
    assert 'token: "${MY_TOKEN}", url: "${PROXY}"' in system.text
    with pytest.raises(SetupError, match="environment variable NOT_SET is not set"):
        system_of(account("hubspot", token="${NOT_SET}"), 0, environment)
    postgresql = database("postgresql://ada@h/crm", "${MY_TOKEN}")
    assert system_of(postgresql, 0, environment).words["url"] == f"postgresql://ada:{TOKEN}@h/crm"


def test_variables_of_one_account_have_one_number() -> None:
    words = {"url": "https://example.my.salesforce.com", "client_id": "3MVG9.abcdef", "client_secret": TOKEN}
    taken = {"SALESFORCE_CLIENT_SECRET": "another"}
    system = system_of(account("salesforce", **words), 0, taken)
    assert [*system.values] == ["SALESFORCE_2_CLIENT_ID", "SALESFORCE_2_CLIENT_SECRET"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (account("hubspot"), "enter access token"),
        (account("hubspot", token=TOKEN, url="proxy"), "API address: not a URL; it begins with https://"),
        (account("hubspot", token=TOKEN, url="http://h.example.com"), "http:// is accepted for this machine alone"),
        (account("stripe", key=f"rk_{TOKEN}", url="https://h.example.com/v1"), "it is https://api.stripe.com, or a"),
        (database("https://app.hubspot.com/contacts/1"), "mongodb:// or sqlite:///; for an account of HubSpot"),
        (account("hubspot", token=f"{TOKEN}\n{TOKEN}"), "access token: contains a line break"),
        (account("stripe", key=f"pk_{TOKEN}"), "restricted key: a publishable key"),
        (account("salesforce", url=f"https://{TOKEN}@h", client_id="x", client_secret=TOKEN), "address of the org: "),
        (account("salesforce", url="https://h.example.com", client_id="x"), "enter consumer secret"),
    ],
)
def test_an_account_that_cannot_be_used_is_refused_without_its_secret(given: Entered, why: str) -> None:
    with pytest.raises(SetupError) as refused:
        system_of(given, 0, {})
    assert why in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_two_accounts_are_two() -> None:
    one = account("hubspot", token=TOKEN)
    with pytest.raises(SetupError, match="this is the account of the source of truth"):
        pair_of(one, one, {})
    for same in ("https://API.hubapi.com:443/", "api.hubapi.com"):
        with pytest.raises(SetupError, match="this is the account of the source of truth"):
            pair_of(one, account("hubspot", token=TOKEN, url=same), {})
    mine, theirs = pair_of(one, account("hubspot", token=f"{TOKEN}-of-another"), {})
    assert (mine.name, theirs.name) == ("hubspot", "hubspot_copy")
    assert (mine.variables, theirs.variables) == ({"token": "HUBSPOT_TOKEN"}, {"token": "HUBSPOT_COPY_TOKEN"})


def test_a_kind_is_entered_by_name_where_an_address_is_asked_for() -> None:
    assert [*kinds()] == ["database", "hubspot", "salesforce", "stripe"]
    assert [kind_of(each) for each in ("HubSpot ", "sqlite:///a", "${CRM}", "")] == ["hubspot", *["database"] * 3]
    with pytest.raises(SetupError, match="did you mean 'hubspot'"):
        kind_of("hubspott")
    with pytest.raises(SetupError, match="hubspot, salesforce or stripe"):
        kind_of("crm.sqlite")


def test_what_is_remembered_is_no_secret() -> None:
    words = {"url": "https://example.my.salesforce.com", "client_id": "3MVG9.abcdef", "client_secret": TOKEN}
    assert account("salesforce", **words).remembered.words == {"url": words["url"]}
    assert account("hubspot", token="${MY_TOKEN}").remembered.words == {"token": "${MY_TOKEN}"}
    assert database(f"postgresql://ada:{TOKEN}@h/crm", TOKEN).remembered.words == {}
    assert database("postgresql://ada@h/crm", TOKEN).remembered.words == {"url": "postgresql://ada@h/crm"}
    assert account("hubspot", token=TOKEN, url=f"https://ada:{TOKEN}@h/").remembered.words == {}
    assert account("stripe", key=TOKEN, url=f"ada:{TOKEN}@h/").remembered.words == {}
    assert database(f"ada:{TOKEN}@h/crm").remembered.words == {}
    assert database("${CRM_URL}").remembered.words == {"url": "${CRM_URL}"}
    assert TOKEN not in repr(account("hubspot", token=TOKEN))
    assert [each.word for each in asked("database")] == ["url", "password"]
