"""Where the map says that people find a record in the systems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.map.record_links import link_of
from probes.contract import Key
from tests.stand import MAP

SYSTEM, BINDING = "crm: {kind: sql, ", "crm: {collection: customers, "
PARTS = ("key_type: integer", "key_type: string")
BOTH = [
    ("crm: {collection: customers, key: id", "crm: {collection: customers, key: [tenant, id]"),
    ("billing: {collection: customers, key: id", "billing: {collection: customers, key: [tenant, id]"),
    PARTS,
]
CROSSED = (
    "billing: {collection: customers, key: id",
    "billing: {collection: accounts, key: no, crosswalk: {system: crm, collection: pairs, key: id, own_key: no}",
)


def mapped(tmp_path: Path, *changes: tuple[str, str]) -> IntegrationMap:
    text = MAP.replace("${PLACE}", str(tmp_path))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return load_map(file, {})


def address(found: IntegrationMap, system: str, key: Key, own_keys: Sequence[Key] = ()) -> str | None:
    return link_of(found.systems[system], found.bindings["customer", system], key, own_keys)


def linked(template: str, where: str = BINDING) -> tuple[str, str]:
    return where, f'{where}link: "{template}", '


def test_a_data_type_s_template_counts_before_that_of_its_system(tmp_path: Path) -> None:
    whole = linked("https://crm.example/{collection}/{key}", SYSTEM)
    assert address(mapped(tmp_path, whole), "crm", 7) == "https://crm.example/customers/7"
    both = mapped(tmp_path, whole, linked("https://crm.example/people/{key}"))
    assert address(both, "crm", 7) == "https://crm.example/people/7"
    assert address(both, "billing", 7) is None
    none = mapped(tmp_path, whole, linked(""))
    assert address(none, "crm", 7) is None


def test_the_parts_of_a_key_have_places_of_their_own(tmp_path: Path) -> None:
    found = mapped(tmp_path, *BOTH, linked("https://crm.example/t/{tenant}/c/{id}"))
    assert address(found, "crm", "a%2Fb/7") == "https://crm.example/t/a%2Fb/c/7"
    assert address(found, "crm", "../7") is None
    assert address(found, "crm", "7") is None


def test_a_system_with_keys_of_its_own_shows_a_record_under_its_own_key(tmp_path: Path) -> None:
    template = "https://billing.example/accounts/{own_key}"
    found = mapped(tmp_path, CROSSED, linked(template, "billing: {collection: accounts, "))
    assert address(found, "billing", 7, ["B/7"]) == "https://billing.example/accounts/B%2F7"
    assert address(found, "billing", 7) is None
    assert address(found, "billing", 7, ["B7", "B8"]) is None


def test_a_salesforce_record_is_found_by_its_id_without_a_template(tmp_path: Path) -> None:
    org = "crm: {kind: salesforce, url: https://acme.my.salesforce.com/, client_id: x, client_secret: x}"
    text = MAP.splitlines()
    crm = next(line.strip() for line in text if line.strip().startswith("crm: {kind: sql"))
    held = next(line.strip() for line in text if line.strip().startswith("crm: {collection"))
    account = "crm: {collection: Account, key: Id, changed_at: SystemModstamp}"
    window = ("window: 4s", "window: 1h")
    found = mapped(tmp_path, (crm.replace("${PLACE}", str(tmp_path)), org), (held, account), window)
    assert address(found, "crm", 7) == "https://acme.my.salesforce.com/lightning/r/Account/7/view"
    numbered = account.replace("key: Id", "key: Number__c")
    found = mapped(tmp_path, (crm.replace("${PLACE}", str(tmp_path)), org), (held, numbered), window)
    assert address(found, "crm", 7) is None


@pytest.mark.parametrize(
    ("where", "template", "path", "why"),
    [
        (BINDING, "javascript:alert({key})", "data_types.customer.in.crm.link", "begins with http:// or https://"),
        (SYSTEM, "javascript:alert({key})", "systems.crm.link", "begins with http:// or https://"),
        (BINDING, "https://crm.example/{id}", "data_types.customer.in.crm.link", "unknown placeholder {id}"),
        (SYSTEM, "https://crm.example/{own_key}", "systems.crm.link", "unknown placeholder {own_key}"),
        (BINDING, "https://crm.example/", "data_types.customer.in.crm.link", "the same page for every record"),
    ],
)
def test_a_template_without_effect_is_refused_with_its_place(
    tmp_path: Path, where: str, template: str, path: str, why: str
) -> None:
    with pytest.raises(MapError) as failed:
        mapped(tmp_path, linked(template, where))
    (problem,) = failed.value.problems
    assert (problem.path, why in problem.message) == (path, True)
    lines = (tmp_path / "map.yaml").read_text().splitlines()
    assert lines[problem.line - 1][problem.column - 1 :].startswith(("link", f'"{template}'))
