"""The effective map: complete, without secrets, and readable as a map."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.map.diff import compare, compare_documents
from auditor.map.effective import Span, digest_of, effective, effective_yaml, shown_address
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from probes.durations import parse_duration
from tests import HOME

COMPANY = (HOME / "tests" / "company.yaml").read_text()
ENVIRONMENT = {"FOLDER": "/tmp/x", "BILLING": "http://127.0.0.1:1"}
SECRETS = {
    "ADDRESS": "http://reader:hunter2-p4ss@billing.example.com:8080/v2/a8f3k2m1x9q7?api_key=K3yK3yK3y&page=1",
    "HEADER": "Bearer tok-1234567890",
    "HOOK": "https://hooks.slack.com/services/T0001/B0002/sl4cks3cret",
    "SIGNATURE": "s1gn1ngs3cret0123456789",
}


def loaded(tmp_path: Path, text: str = COMPANY, **more: str) -> IntegrationMap:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return load_map(file, {**ENVIRONMENT, **more})


def with_secrets(tmp_path: Path, **other: str) -> IntegrationMap:
    billing = 'url: "${ADDRESS}"\n    headers: {Authorization: "${HEADER}"}'
    text = COMPANY.replace('url: "${BILLING}"', billing).replace(
        "Customers are born", "The token tok-1234567890 opens it. Customers are born"
    )
    assert "${ADDRESS}" in text
    assert "tok-" in text
    alerts = 'alerts:\n  slack: {webhook: "${HOOK}"}\n  webhook: {url: "${HOOK}", secret: "${SIGNATURE}"}\n'
    start = text.index("alerts:", 2)
    end = text.index("\nsystems:") if start < text.index("\nsystems:") else len(text)
    return loaded(tmp_path, text[:start] + alerts + text[end:], **{**SECRETS, **other})


def test_it_holds_what_the_file_leaves_out(tmp_path: Path) -> None:
    document = effective(loaded(tmp_path))
    assert document["systems"]["crm"]["budget"] == {"records_per_s": 5000, "connections": 2, "timeout": "5s"}
    assert document["flows"]["customer_to_billing"]["overlap"] == "10s"
    assert document["alerts"]["hold"] == "30s"
    json.dumps(document)


def test_read_as_a_map_it_is_the_same_map(tmp_path: Path) -> None:
    before = loaded(tmp_path)
    (tmp_path / "effective.yaml").write_text(effective_yaml(before))
    again = load_map(tmp_path / "effective.yaml", {})
    assert effective(again) == effective(before)
    assert compare(before, again) == []
    assert all(again.flow(name).comparer(b"k" * 32).series == before.flow(name).comparer(b"k" * 32).series
               for name in before.flows)  # fmt: skip


def test_it_holds_no_secret_in_any_form(tmp_path: Path) -> None:
    text = effective_yaml(with_secrets(tmp_path)) + repr(effective(with_secrets(tmp_path)))
    for secret in ("hunter2", "a8f3k2m1x9q7", "K3yK3y", "tok-", "sl4cks3cret", "B0002", "s1gn1ng", "reader"):
        assert secret not in text, secret
    assert "url: http://***@billing.example.com:8080/v2/***?api_key=***&page=***" in text
    assert "webhook: https://hooks.slack.com/***" in text
    assert "The token *** opens it." in text


@pytest.mark.parametrize(
    ("name", "value", "path", "shown"),
    [
        ("HEADER", "Bearer tok-0987654321", "systems.billing.headers.Authorization", ("***", "***")),
        ("SIGNATURE", "an0th3rs3cret0123456789", "alerts.webhook.secret", ("***", "***")),
        (
            "ADDRESS",
            SECRETS["ADDRESS"].replace("billing.", "new.").replace("hunter2", "hunter3"),
            "systems.billing.url",
            tuple(f"http://***@{host}.example.com:8080/v2/***?api_key=***&page=***" for host in ("billing", "new")),
        ),
    ],
)
def test_a_secret_that_changes_is_listed_and_not_shown(
    name: str, value: str, path: str, shown: tuple[str, str], tmp_path: Path
) -> None:
    before, after = with_secrets(tmp_path), with_secrets(tmp_path, **{name: value})
    (edit,) = [each for each in compare(before, after) if each.path != "systems.crm.description"]
    assert (edit.path, (edit.before, edit.after)) == (path, shown)
    whole = str(compare(before, after))
    assert not any(part in whole for part in ("hunter", "tok-0", "an0th3r", "s1gn1ng"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////srv/data-2024/crm.sqlite", "sqlite:////srv/data-2024/crm.sqlite"),
        (
            "postgresql://u:p/w@x@db.example.com/crm?sslmode=require",
            "postgresql://***@db.example.com/crm?sslmode=***",
        ),
        ("mongodb://u:p@a,b:1/crm", "mongodb://***@a,b:1/crm"),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("tgram://bottoken/chat", "***"),
        ("Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey=abc", "***"),
        ("just-a-token", "***"),
    ],
)
def test_of_an_address_the_host_is_shown_and_no_secret(address: str, shown: str) -> None:
    assert shown_address(address) == shown


def test_the_digest_is_that_of_the_whole_map_with_its_secrets(tmp_path: Path) -> None:
    key = b"k" * 32
    digest = digest_of(with_secrets(tmp_path), key)
    assert digest == digest_of(with_secrets(tmp_path), key)
    assert digest != digest_of(with_secrets(tmp_path, SIGNATURE="an0th3rs3cret0123456789"), key)
    assert digest != digest_of(with_secrets(tmp_path), b"l" * 32)


def test_a_rate_is_no_duration(tmp_path: Path) -> None:
    slower = loaded(tmp_path, COMPANY.replace("records_per_s: 1000", "records_per_s: 500"))
    (edit,) = compare(loaded(tmp_path), slower)
    assert (edit.path, edit.before, edit.after) == ("systems.billing.budget.records_per_s", "1000", "500")


CHANGES = (
    ("window: 10s", "window: 20s"),
    ("team: billing", "team: finance"),
    ("    business_key: [email]\n", ""),
    ("role: main", "role: retry"),
    ("      state: {type: enum, evidence: clear}\n", ""),
)


@settings(max_examples=12)
@given(st.sets(st.sampled_from(CHANGES)), st.sets(st.sampled_from(CHANGES)))
def test_what_differs_between_two_maps_leads_from_one_to_the_other_and_back(
    tmp_path_factory: pytest.TempPathFactory, some: set[tuple[str, str]], others: set[tuple[str, str]]
) -> None:
    place = tmp_path_factory.getbasetemp()
    before, after = (loaded(place, changed(each)) for each in (some, others))
    documents = effective(before), effective(after)
    there, back = compare(before, after), compare(after, before)
    assert (there == []) == (documents[0] == documents[1]) == (some == others)
    assert sorted((each.path, each.before, each.after) for each in there) == sorted(
        (each.path, each.after, each.before) for each in back
    )
    assert {each.path for each in compare_documents(*documents)} == {each.path for each in there}
    assert compare_documents(documents[0], documents[0]) == []


def changed(changes: set[tuple[str, str]]) -> str:
    text = COMPANY
    for old, new in sorted(changes):
        text = text.replace(old, new)
    return text


@given(st.floats(min_value=0.001, max_value=10**8) | st.integers(min_value=0, max_value=10**8))
def test_a_duration_is_written_as_a_map_reads_it(seconds: float) -> None:
    assert parse_duration(str(Span(seconds))) == pytest.approx(seconds, rel=1e-9, abs=1e-12)


@given(st.integers(min_value=0, max_value=10**9))
def test_whole_milliseconds_are_written_exactly(milliseconds: int) -> None:
    assert round(parse_duration(str(Span(milliseconds / 1000))) * 1000) == milliseconds
