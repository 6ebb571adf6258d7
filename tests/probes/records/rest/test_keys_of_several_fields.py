"""Keys of several fields in an HTTP API: how templates request them, and how records are recognised by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditor.map.loader import load_map
from checks.judgement import Outcome
from probes.composite_keys import joined
from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.rest import record_keys
from probes.records.rest.probe import RestProbe
from probes.records.rest.request_template import filled
from probes.records.rest.settings import RestBinding, RestSettings
from tests.auditor.audit.test_flow_audit import open_causes
from tests.http_api import Api, Request, Response
from tests.stand import Stand, swept

LINES = [(tenant, code, f"Line {tenant}-{code}") for tenant in (7, 8) for code in ("a", "b/c", "d,e", "100%", "ü")]


def line(tenant: int, code: str, name: str) -> dict[str, Any]:
    return {"tenant": {"id": tenant}, "code": code, "name": name}


def shop(request: Request) -> Any:
    """Lines of a tenant by code, many of one tenant, a search over all, and all of them."""
    steps = [unquote(step) for step in request.path.split("/")]
    if request.method == "POST":
        wanted = [(each["tenant"], each["code"]) for each in json.loads(request.body)["any"]]
        return [line(*each) for each in LINES if each[:2] in wanted]
    if steps[1] == "all":
        start, count = int(request.values["offset"]), int(request.values["limit"])
        return [line(*each) for each in LINES[start : start + count]]
    mine = [each for each in LINES if str(each[0]) == steps[2]]
    if len(steps) == 5:
        single = [line(*each) for each in mine if each[1] == steps[4]]
        return single[0] if single else Response(status=404)
    codes = [unquote(code) for code in request.query.partition("=")[2].split(",")]
    return [line(*each) for each in mine if each[1] in codes]


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api(shop)
    yield served
    served.close()


ONE = {"one": "/tenants/{key1}/lines/{key2}"}
MANY = {"many": "/tenants/{key1}/lines?codes={keys2}"}
SEARCH = {"many": {"read_only_post": "/search", "body": {"any": [{"tenant": "{key1}", "code": "{key2}"}]}}}


def spec_of(**words: Any) -> ReadSpec:
    binding = RestBinding.model_validate({"collection": "lines", "key": ["$.tenant.id", "code"], **words})
    return replace(binding.spec("line", ["name"], zone=None), part_types=("integer", "string"))


def probe_of(api: Api) -> RestProbe:
    return RestProbe(RestSettings.model_validate({"kind": "rest", "url": api.url}))


def keys_of(lines: list[tuple[int, str, str]]) -> list[str]:
    return [joined(each[:2]) for each in lines]


@pytest.mark.parametrize("words", [ONE, {**MANY, **ONE}, SEARCH])
def test_records_are_read_by_all_parts_of_their_keys(api: Api, words: dict[str, Any]) -> None:
    probe = probe_of(api)
    rows = probe.fetch(spec_of(**words), [*keys_of(LINES), "9/a", "7/nobody"])
    assert sorted(map(tuple, rows)) == sorted(((tenant, code), None, name) for tenant, code, name in LINES)


def test_keys_that_share_a_part_are_read_together(api: Api) -> None:
    plain = [each for each in LINES if "," not in each[1] and each[1].isascii()]
    probe = probe_of(api)
    assert len(probe.fetch(spec_of(**MANY), keys_of(plain))) == len(plain)
    assert sorted(request.path for request in api.asked) == ["/tenants/7/lines", "/tenants/8/lines"]


def test_a_search_gets_each_part_in_its_own_type(api: Api) -> None:
    probe_of(api).fetch(spec_of(**SEARCH), ["7/a", "8/b%2Fc"])
    assert json.loads(api.asked[0].body) == {"any": [{"tenant": 7, "code": "a"}, {"tenant": 8, "code": "b/c"}]}


def test_a_list_has_whole_keys_and_pages_of_one_tenant_are_no_circle(api: Api) -> None:
    probe, spec = probe_of(api), spec_of(**ONE, list="/all?offset={offset}&limit={limit}")
    keys, after = [], None
    while True:
        page = probe.page(spec, after, 1)
        keys += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            break
    assert keys == [each[:2] for each in LINES]


def test_the_doctor_finds_the_first_record_by_its_whole_key(api: Api) -> None:
    assert probe_of(api).inspect(spec_of(**ONE, list="/all?offset={offset}&limit={limit}")) == ()
    api.answer = lambda request: [] if request.path.startswith("/tenants") else shop(request)
    with pytest.raises(ProbeError, match=r"is \$.tenant.id, code the key that it requests"):
        probe_of(api).inspect(spec_of(**MANY, list="/all?offset={offset}&limit={limit}"))


def test_another_record_than_the_one_requested_proves_no_absence(api: Api) -> None:
    api.answer = lambda _: [line(7, "zzz", "another")]
    with pytest.raises(ProbeError) as failed:
        probe_of(api).fetch(spec_of(**MANY), ["7/a"])
    assert failed.value.reason is Reason.DECODE
    api.answer = lambda _: [{"code": "a", "name": "of no tenant"}]
    with pytest.raises(ProbeError, match=r"something without \$.tenant.id, code"):
        probe_of(api).fetch(spec_of(**MANY), ["7/a"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"one": "/lines/{key1}"}, "one needs every part of the key: {key1}, {key2}"),
        ({"many": "/lines?codes={keys2}"}, "many needs {keys}, keys with a slash between their parts"),
        ({"many": "/lines?codes={keys2}&tenants={keys1}"}, "many needs {keys}"),
        ({"many": "/lines?tenant={key1}&code={key2}"}, "many needs {keys}"),
        ({"one": "/lines/{key3}"}, "one has no value {key3}"),
        ({**ONE, "list": "/all?after={after}"}, "it has several fields: set next:, or use {offset}"),
    ],
)
def test_templates_that_leave_a_part_out_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        spec_of(**words)
    assert said in str(refused.value)


@pytest.mark.parametrize("words", [{"one": "/lines/{key}"}, {"many": "/lines?ids={keys}"}])
def test_an_api_may_take_the_whole_key_as_one_text(words: dict[str, Any]) -> None:
    assert spec_of(**words).key_parts == ("$.tenant.id", "code")


@given(st.lists(st.tuples(st.integers(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), min_size=1))
def test_every_part_arrives_as_it_is(keys: list[tuple[int, str]]) -> None:
    spec = spec_of(**SEARCH)
    sent = filled(spec.options["many"], "lines", record_keys.values_of_many(spec, [joined(key) for key in keys]))
    assert sent.body is not None
    assert [(each["tenant"], each["code"]) for each in json.loads(sent.body)["any"]] == keys


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with closing(Stand(tmp_path)) as made:
        yield made


def test_the_whole_way(api: Api, stand: Stand) -> None:
    with stand.open("crm") as database:
        database.execute("CREATE TABLE lines (tenant integer, code text, name text, amount text, updated_at text)")
        rows = [(t, c, "another" if (t, c) == (8, "b/c") else name, None, None) for t, c, name in LINES]
        database.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?)", [*rows, (9, "x", "missing", None, None)])
    text = stand.map_file.read_text()
    system = text[text.index("  billing: {kind") : text.index("data_types:")]
    text = text.replace(system, f"  billing: {{kind: rest, url: '{api.url}'}}\n")
    text = text.replace("key_type: integer", "key_type: [integer, string]")
    text = text.replace("crm: {collection: customers, key: id,", "crm: {collection: lines, key: [tenant, code],")
    text = text.replace(
        "billing: {collection: customers, key: id}",
        "billing: {collection: lines, key: [$.tenant.id, code], absent: [amount], "
        "one: '/tenants/{key1}/lines/{key2}', "
        "list: '/all?offset={offset}&limit={limit}'}",
    )
    stand.map_file.write_text(text[: text.index("    queues:")])
    loaded = load_map(stand.map_file, {})
    result = swept(loaded, "to_billing", stand.ledger)
    assert (result.read, result.counts[Outcome.AGREED]) == (len(LINES) + 1, len(LINES) - 1)
    assert open_causes(stand) == {}  # suspected, and confirmed by the next audit


def test_parts_in_another_case_or_format_are_the_requested_ones() -> None:
    spec = replace(spec_of(**ONE), part_types=("phone", "caseless"), key_region="DE")
    wanted = record_keys.likeness(spec, "+4930123456/ann@x.de")
    assert record_keys.likeness(spec, ("030 12 34 56", "Ann@X.de")) == wanted
    assert record_keys.likeness(spec, ("040 12 34 56", "Ann@X.de")) != wanted
    assert record_keys.values_of_one(spec, "+4930123456/ann@x.de") == {
        "key": "+4930123456/ann@x.de",
        "key1": "+4930123456",
        "key2": "ann@x.de",
    }
