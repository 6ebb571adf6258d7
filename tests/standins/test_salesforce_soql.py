"""The stand-in's SOQL, ids and numbers against the vendor's documents."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.standins.clock import Clock
from tests.standins.salesforce import ids
from tests.standins.salesforce.errors import ApiError
from tests.standins.salesforce.evaluation import Query, bounds
from tests.standins.salesforce.numbers_json import double, encoded
from tests.standins.salesforce.schema import objects
from tests.standins.salesforce.soql import LONGEST, AllOf, AnyOf, Comparison, Not, Pattern, parse
from tests.standins.salesforce.store import Store

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
ID_CHARACTERS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        # the examples of the vendor's documents and of published explanations of the suffix
        ("a0D30000001n7Pi", "a0D30000001n7PiEAI"),
        ("a0RE000000IJmcN", "a0RE000000IJmcNMAT"),
        ("a01M00000062mPg", "a01M00000062mPgIAI"),
        ("001M000000qfPyS", "001M000000qfPySIAU"),
        ("a0FE000000D6r3F", "a0FE000000D6r3FMAR"),
        ("0F9E000000092w2", "0F9E000000092w2KAA"),
        ("aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaAAA"),
    ],
)
def test_an_id_of_15_characters_gets_the_documented_suffix(short: str, long: str) -> None:
    assert ids.with_suffix(short) == long


@given(ID_CHARACTERS)
def test_an_id_of_18_characters_survives_the_loss_of_case(short: str) -> None:
    long = short + ids.suffix(short)
    assert ids.with_suffix(long.lower()) == long
    assert ids.with_suffix(long.upper()) == long


@pytest.mark.parametrize(
    "text", ["", "short", "a0D30000001n7P!", "a0D30000001n7PiE", "a0D30000001n7PiZZZ9", "AAAAAAAAAAAAAAA666"]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert ids.with_suffix(text) is None


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_ids_of_different_records_differ(one: int, other: int) -> None:
    assert (ids.new_id("001", one) == ids.new_id("001", other)) == (one == other)


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0.0"), ("10", "10.0"), ("1250.5", "1250.5"), ("-3.25", "-3.25"), ("350000000", "3.5E8"), ("1e7", "1.0E7"),
     ("9999999", "9999999.0"), ("0.001", "0.001"), ("0.0001", "1.0E-4"), ("123456789.01", "1.2345678901E8")],
)  # fmt: skip
def test_a_double_is_written_as_java_writes_it(value: str, text: str) -> None:
    assert double(Decimal(value)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_double_is_the_same_number(value: float) -> None:
    assert float(double(Decimal(repr(value)))) == value


def test_documents_are_json() -> None:
    assert (
        encoded({"a": [Decimal(1), None, True], "b": {}, "c": "é\n"})
        == '{"a":[1.0,null,true],"b":{},"c":"é\\n"}'.encode()
    )


# the parser


def condition(text: str) -> object:
    return parse(f"SELECT Id FROM Account WHERE {text}").where


def test_operators_of_one_kind_chain_and_nest_in_parentheses() -> None:
    a, b, c = (Comparison(name, "=", (Decimal(1),), at) for name, at in (("a", 29), ("b", 40), ("c", 50)))
    found = condition("a = 1 AND (b = 1 OR c = 1)")
    assert isinstance(found, AllOf)
    assert found.conditions[0] == a
    assert isinstance(found.conditions[1], AnyOf)
    assert {each.field for each in found.conditions[1].conditions if isinstance(each, Comparison)} == {
        b.field,
        c.field,
    }
    assert isinstance(condition("NOT a = 1"), Not)
    assert isinstance(condition("(NOT (a = 1))"), Not)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT",
        "SELECT Id",
        "SELECT Id FROM",
        "SELECT Id, FROM Account",
        "SELECT Id FROM Account WHERE",
        "SELECT Id FROM Account WHERE a = 1 AND b = 2 OR c = 3",
        "SELECT Id FROM Account WHERE a = 'x",
        'SELECT Id FROM Account WHERE a = "x"',
        "SELECT Id FROM Account WHERE a = b",
        "SELECT Id FROM Account WHERE a IN ()",
        "SELECT Id FROM Account WHERE a IN 'x'",
        "SELECT Id FROM Account WHERE a = :bound",
        r"SELECT Id FROM Account WHERE a = 'x\y'",
        r"SELECT Id FROM Account WHERE a = '50\%'",
        "SELECT Id FROM Account WHERE a = 2026-02-30",
        "SELECT Id FROM Account LIMIT x",
        "SELECT Id FROM Account LIMIT -1",
        "SELECT Id FROM Account OFFSET 5 LIMIT 5",
        "SELECT Id FROM Account; DROP",
        "DELETE FROM Account",
        "SELECT * FROM Account",
        "SELECT Id FROM Account ORDER BY Name NULLS",
        "",
    ],
)
def test_what_the_grammar_does_not_have_is_a_malformed_query(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert (caught.value.status, caught.value.code) == (400, "MALFORMED_QUERY")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)",
        "SELECT COUNT(Id) FROM Account",
        "SELECT Name FROM Account GROUP BY Name",
        "SELECT Id FROM Account WITH SECURITY_ENFORCED",
        "SELECT Id FROM Account WHERE CALENDAR_YEAR(CreatedDate) = 2026",
    ],
)
def test_what_the_vendor_can_and_the_stand_in_cannot_is_never_answered_as_the_vendor(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert (caught.value.status, caught.value.code) == (501, "STAND_IN_UNSUPPORTED")


def test_an_error_shows_the_place() -> None:
    with pytest.raises(ApiError) as caught:
        parse("SELECT Id FROM Account WHERE Name == 'x'")
    assert "ERROR at Row:1:Column:36\nunexpected token: '='" in caught.value.message


def test_a_query_holds_100_000_characters() -> None:
    head = "SELECT Id FROM Account WHERE Name IN ('"
    parse(head + "','".join(["x" * 900] * 100) + "')")
    with pytest.raises(ApiError, match="MALFORMED_QUERY"):
        parse(head + "','".join(["x" * 900] * (LONGEST // 900 + 1)) + "')")
    with pytest.raises(ApiError, match="4000"):
        parse(head + "x" * 4001 + "')")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_an_escaped_text_is_read_as_it_was(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    found = condition(f"Name = '{escaped}'")
    assert isinstance(found, Comparison)
    assert found.values == (text,)


def test_escapes_are_those_of_the_document() -> None:
    found = condition(r"Name = '\n\N\t\r\b\f\"\'\\\u00e9'")
    assert isinstance(found, Comparison)
    assert found.values == ("\n\n\t\r\b\f\"'\\é",)
    like = condition(r"Name LIKE 'Ter\%%'")
    assert isinstance(like, Comparison)
    assert like.values == (Pattern((("T", False), ("e", False), ("r", False), ("%", False), ("%", True))),)


# the evaluation


@pytest.fixture
def store() -> Store:
    clock = Clock(NOON)
    found = Store(objects(multi_currency=True), clock)
    with found.begin() as people:
        acme = people.put(
            "Account",
            {
                "Name": "Acme",
                "AnnualRevenue": "350000000",
                "NumberOfEmployees": 12,
                "Regions__c": "North;East",
                "Industry": "Energy",
                "Customer_Number__c": "C-1",
                "Token__c": "AbC",
                "Active__c": True,
                "Renewal__c": "2026-03-04",
                "Last_Order__c": "2026-03-01T00:00:00.750Z",
            },
        )
        people.put("Account", {"Name": "Bob's 50% \\ BBQ_", "Regions__c": "North;South", "Customer_Number__c": "C-2"})
        people.put("Account", {"Name": "cyan", "Regions__c": "", "Legacy_Code__c": "c-1"})
        gone = people.put("Account", {"Name": "Gone"})
        people.put("Contact", {"FirstName": "Ann", "LastName": "Lee", "AccountId": acme[:15]})
        people.put("Contact", {"LastName": "Solo"})
    with found.begin() as people:
        people.delete(gone)
    return found


def names(
    store: Store, where: str = "", *, deleted: bool = False, order: str = "ORDER BY Name", of: str = "Account"
) -> list[str]:
    text = f"SELECT Name FROM {of} " + (f"WHERE {where} " if where else "") + order
    return [row["Name"] for row in Query(store, parse(text), deleted=deleted).rows()]


BOB = "Bob's 50% \\ BBQ_"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("", ["Acme", BOB, "cyan"]),
        ("Name = 'ACME'", ["Acme"]),
        ("nAmE = 'acme'", ["Acme"]),
        ("Name != 'acme'", [BOB, "cyan"]),
        ("Name <> 'acme'", [BOB, "cyan"]),
        ("Name > 'acme'", [BOB, "cyan"]),
        (r"Name LIKE '%50\%%'", [BOB]),
        (r"Name LIKE '%bbq\_'", [BOB]),
        (r"Name LIKE 'bob\'s%'", [BOB]),
        ("Name LIKE 'C_an'", ["cyan"]),
        ("Name LIKE 'Acm'", []),
        ("NOT Name LIKE 'A%'", [BOB, "cyan"]),
        ("Name IN ('acme', 'CYAN')", ["Acme", "cyan"]),
        ("Name NOT IN ('acme')", [BOB, "cyan"]),
        ("AnnualRevenue = 350000000", ["Acme"]),
        ("AnnualRevenue >= 3.5e8", ["Acme"]),
        ("AnnualRevenue < 1", []),
        ("AnnualRevenue = NULL", [BOB, "cyan"]),
        ("AnnualRevenue != null", ["Acme"]),
        ("Active__c = TRUE", ["Acme"]),
        ("Active__c = false", [BOB, "cyan"]),
        ("Regions__c INCLUDES ('North')", ["Acme", BOB]),
        ("Regions__c INCLUDES ('north;east')", ["Acme"]),
        ("Regions__c INCLUDES ('East', 'South')", ["Acme", BOB]),
        ("Regions__c EXCLUDES ('South')", ["Acme", "cyan"]),
        ("Regions__c = 'East;North'", ["Acme"]),
        ("Regions__c = ''", ["cyan"]),
        ("Renewal__c = 2026-03-04", ["Acme"]),
        ("Renewal__c = TODAY", ["Acme"]),
        ("Last_Order__c = 2026-03-01T00:00:00Z", ["Acme"]),
        ("Last_Order__c = 2026-03-01T01:00:00+01:00", ["Acme"]),
        ("Last_Order__c = LAST_N_DAYS:3", ["Acme"]),
        ("Last_Order__c = LAST_N_DAYS:2", []),
        ("Last_Order__c < YESTERDAY", ["Acme"]),
        ("Customer_Number__c = 'c-1'", ["Acme"]),
        ("Customer_Number__c IN ('C-1','C-2') AND Name LIKE 'B%'", [BOB]),
        ("Customer_Number__c = 'C-1' OR Name = 'cyan'", ["Acme", "cyan"]),
        ("Token__c = 'AbC'", ["Acme"]),
        ("Token__c = 'abc'", []),
        ("IsDeleted = true", []),
        ("Account.Name = 'Acme'", ["Acme"]),
    ],
)  # fmt: skip
def test_a_condition_holds_for(store: Store, where: str, found: list[str]) -> None:
    assert names(store, where) == found


def test_records_in_the_recycle_bin_are_seen_by_query_all_alone(store: Store) -> None:
    assert names(store, deleted=True) == ["Acme", BOB, "cyan", "Gone"]
    assert names(store, "IsDeleted = TRUE", deleted=True) == ["Gone"]


def test_ids_are_ordered_as_they_are_compared(store: Store) -> None:
    with store.begin() as people:
        for number in range(80):
            people.put("Account", {"Name": f"N{number}"})
    rows = Query(store, parse("SELECT Id FROM Account ORDER BY Id"), deleted=True).rows()
    middle = rows[40]["Id"]
    later = Query(store, parse(f"SELECT Id FROM Account WHERE Id > '{middle}' ORDER BY Id"), deleted=True).rows()
    assert later == rows[41:]


def test_an_id_is_found_in_both_forms(store: Store) -> None:
    acme = next(
        row["Id"] for row in Query(store, parse("SELECT Id FROM Account WHERE Name = 'Acme'"), deleted=False).rows()
    )
    for form in (acme, acme[:15], acme.lower(), acme.upper()):
        assert names(store, f"Id = '{form}'") == ["Acme"]
    assert names(store, f"Id = '{acme[:15].swapcase()}'") == []


def test_fields_of_the_record_referred_to(store: Store) -> None:
    assert names(store, "Account.Name = 'acme'", of="Contact") == ["Ann Lee"]
    assert names(store, "Account.Name = NULL", of="Contact") == ["Solo"]
    assert names(store, "c.Account.AnnualRevenue > 1", of="Contact c", order="ORDER BY c.Account.Name") == ["Ann Lee"]


def test_rows_are_ordered_nulls_first_unless_told(store: Store) -> None:
    assert names(store, order="ORDER BY AnnualRevenue, Name DESC") == ["cyan", BOB, "Acme"]
    assert names(store, order="ORDER BY AnnualRevenue DESC NULLS LAST, Name") == ["Acme", BOB, "cyan"]
    assert names(store, order="ORDER BY Name LIMIT 1 OFFSET 1") == [BOB]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing FROM Account", "INVALID_FIELD"),
        ("SELECT Id, id FROM Account", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Nothing = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Account ORDER BY Nothing", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE CreatedDate > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Renewal__c > 2026-01-01T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account WHERE Name INCLUDES ('x')", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account WHERE Regions__c LIKE 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY"),
        ("SELECT FIELDS(ALL) FROM Account LIMIT 201", "MALFORMED_QUERY"),
    ],
)
def test_what_the_org_does_not_have_or_compare_is_refused(store: Store, text: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        Query(store, parse(text), deleted=False)
    assert caught.value.code == code


def test_all_fields_are_those_of_the_object(store: Store) -> None:
    query = Query(store, parse("SELECT FIELDS(ALL) FROM Account LIMIT 200"), deleted=False)
    assert [each.name for _, each in query.paths] == [each.name for each in store.objects["account"]]


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("TODAY", (2026, 3, 4), (2026, 3, 5)),
        ("YESTERDAY", (2026, 3, 3), (2026, 3, 4)),
        ("TOMORROW", (2026, 3, 5), (2026, 3, 6)),
        ("THIS_WEEK", (2026, 3, 1), (2026, 3, 8)),
        ("LAST_WEEK", (2026, 2, 22), (2026, 3, 1)),
        ("LAST_MONTH", (2026, 2, 1), (2026, 3, 1)),
        ("THIS_YEAR", (2026, 1, 1), (2027, 1, 1)),
        ("NEXT_MONTH", (2026, 4, 1), (2026, 5, 1)),
        ("LAST_N_MONTHS:2", (2026, 1, 1), (2026, 3, 1)),
        ("NEXT_N_WEEKS:2", (2026, 3, 8), (2026, 3, 22)),
        ("LAST_N_DAYS:7", (2026, 2, 25), (2026, 3, 5)),
        ("NEXT_N_DAYS:1", (2026, 3, 5), (2026, 3, 6)),
        ("LAST_90_DAYS", (2025, 12, 4), (2026, 3, 5)),
        ("N_DAYS_AGO:4", (2026, 2, 28), (2026, 3, 1)),
    ],
)
def test_a_date_literal_reaches(name: str, start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    assert bounds(name, NOON, days=True) == (date(*start), date(*end))
