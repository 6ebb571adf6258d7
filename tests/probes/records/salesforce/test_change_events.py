"""Which records a change event names, and how the probe announces them."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from probes.contract import Announcements, AnnouncesChanges, ProbeError, ReadSpec, Reason
from probes.records.salesforce.change_events import Change, ChangeHeaders, topic_of
from probes.records.salesforce.event_bus import BusEvent
from probes.records.salesforce.probe import SalesforceProbe
from probes.records.salesforce.settings import SalesforceSettings
from tests.standins.salesforce import APP, Salesforce

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
PATIENT_S = 60.0
SPEC = ReadSpec(
    data_type="customer",
    collection="Account",
    key="Id",
    changed_at="SystemModstamp",
    fields=("Name",),
    key_type="salesforce_id",
)
BY_NUMBER = replace(SPEC, key="Customer_Number__c", key_type="string")

HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {"name": "changeType", "type": "string"},
    ],
}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "AccountChangeEvent",
    "fields": [{"name": "ChangeEventHeader", "type": HEADER}, {"name": "Name", "type": ["null", "string"]}],
}


def event(kind: str, *ids: str) -> BusEvent:
    out = io.BytesIO()
    header = {"recordIds": list(ids), "changeType": kind}
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), {"ChangeEventHeader": header, "Name": "x"})
    return BusEvent(event_id="e", replay_id=b"1", schema_id="s", payload=out.getvalue())


@pytest.mark.parametrize(
    ("collection", "topic"),
    [
        ("Account", "/data/AccountChangeEvent"),
        ("Invoice__c", "/data/Invoice__ChangeEvent"),
        ("ns__Invoice__c", "/data/ns__Invoice__ChangeEvent"),
    ],
)
def test_the_topic_of_an_object(collection: str, topic: str) -> None:
    assert topic_of(collection) == topic


@pytest.mark.parametrize(
    ("told", "ids", "names_all"),
    [
        (event("UPDATE", "001000000000001AAA", "001000000000002AAA"), 2, True),
        (event("GAP_UPDATE", "001000000000001AAA"), 1, True),
        (event("GAP_OVERFLOW", "001000000000001AAA"), 1, False),
        (event("UPDATE", "001*"), 0, False),
        (event("GAP_OVERFLOW"), 0, False),
    ],
)
def test_an_event_names_records_or_says_that_there_are_others(told: BusEvent, ids: int, names_all: bool) -> None:
    change = ChangeHeaders(lambda _: SCHEMA).read(told)
    assert (len(change.ids), change.names_all) == (ids, names_all)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        {"type": "record", "name": "X", "fields": []},
        SCHEMA | {"fields": SCHEMA["fields"][::-1]},
        SCHEMA | {"fields": [{"name": "ChangeEventHeader", "type": "string"}]},
        SCHEMA | {"fields": [{"name": "ChangeEventHeader", "type": "no type"}]},
    ],
)
def test_another_schema_is_no_change(schema: Any) -> None:
    with pytest.raises(ProbeError) as caught:
        ChangeHeaders(lambda _: schema).read(event("UPDATE", "001000000000001AAA"))
    assert caught.value.reason is Reason.DECODE


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x80" * 40, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_a_payload_that_is_cut_or_lies_is_no_change(payload: bytes) -> None:
    with pytest.raises(ProbeError) as caught:
        ChangeHeaders(lambda _: SCHEMA).read(replace(event("UPDATE"), payload=payload))
    assert caught.value.reason is Reason.DECODE


# -- the probe


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        found.pubsub.keepalive_s = 0.05
        yield found


def opened(org: Salesforce) -> SalesforceProbe:
    words: dict[str, Any] = {"kind": "salesforce", "url": org.url}
    words |= {"client_id": APP.client_id, "client_secret": APP.client_secret}
    words |= {"change_events": True, "event_bus": org.pubsub.target, "budget": {"timeout": 30}}
    return SalesforceProbe(SalesforceSettings.model_validate(words))


@pytest.fixture
def probe(org: Salesforce) -> Iterator[SalesforceProbe]:
    found = opened(org)
    yield found
    found.close()


def heard_after(probe: SalesforceProbe, spec: ReadSpec, position: str | None, *, keys: int = 1) -> Announcements:
    """What is announced after a position, until it is so many keys; without keys, until not all are named.

    The bus may say between two events that there is nothing new.
    """
    named: dict[Any, None] = {}
    names_all = True
    until = time.monotonic() + PATIENT_S
    while time.monotonic() < until:
        heard = probe.announced(spec, position, 500, PATIENT_S)
        named.update(dict.fromkeys(heard.keys))
        names_all = names_all and heard.names_all
        if len(named) >= keys and (keys or not names_all):
            return replace(heard, keys=list(named), names_all=names_all)
        position = heard.position
    raise AssertionError(f"{list(named)} were announced within {PATIENT_S:g} s")


def test_records_are_announced_from_a_position_on(org: Salesforce, probe: SalesforceProbe) -> None:
    assert isinstance(probe, AnnouncesChanges)
    assert probe.announces(SPEC)
    begun = probe.announced(SPEC, None, 500, PATIENT_S)
    assert begun.keys == []
    first, second = org.put("Account", Name="A"), org.put("Account", Name="B")
    org.update(first, Name="C")
    org.delete(second, purge=True)
    heard = heard_after(probe, SPEC, begun.position, keys=2)
    assert heard.keys == [first, second]
    assert heard.names_all
    assert probe.announced(SPEC, heard.position, 500, PATIENT_S).keys == []


def test_records_of_another_key_are_named_by_it(org: Salesforce, probe: SalesforceProbe) -> None:
    begun = probe.announced(BY_NUMBER, None, 500, PATIENT_S)
    org.put("Account", Name="A", Customer_Number__c="C-1")
    org.put("Account", Name="without a key")
    binned = org.put("Account", Name="B", Customer_Number__c="C-2")
    org.delete(binned)
    heard = heard_after(probe, BY_NUMBER, begun.position, keys=2)
    assert (heard.keys, heard.names_all) == (["C-1", "C-2"], True)
    purged = org.put("Account", Name="D", Customer_Number__c="C-3")
    org.delete(purged, purge=True)
    heard = heard_after(probe, BY_NUMBER, heard.position, keys=0)
    assert (heard.keys, heard.names_all) == ([], False)


def test_gaps_are_read_again_or_reported(org: Salesforce, probe: SalesforceProbe) -> None:
    begun = probe.announced(SPEC, None, 500, PATIENT_S)
    record = org.put("Account", Name="A")
    org.bus.gap("UPDATE", "Account", record)
    heard = heard_after(probe, SPEC, begun.position)
    assert (heard.keys, heard.names_all) == ([record], True)
    org.bus.gap("OVERFLOW", "Account")
    heard = heard_after(probe, SPEC, heard.position, keys=0)
    assert (heard.keys, heard.names_all) == ([], False)


def test_an_event_that_cannot_be_decoded_holds_up_no_other(
    org: Salesforce, probe: SalesforceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = probe.announced(SPEC, None, 500, PATIENT_S)
    read, seen = ChangeHeaders.read, []

    def spoilt(self: ChangeHeaders, event: BusEvent) -> Change:
        seen.append(event)
        return read(self, event if len(seen) > 1 else replace(event, payload=b"\xff"))

    monkeypatch.setattr(ChangeHeaders, "read", spoilt)
    org.put("Account", Name="A")
    second = org.put("Account", Name="B")
    heard = heard_after(probe, SPEC, begun.position)
    assert (heard.keys, heard.names_all) == ([second], False)


def test_the_keys_of_very_many_records_are_left_to_the_list_of_changes(
    org: Salesforce, probe: SalesforceProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.records.salesforce.probe.NAMED_AT_ONCE", 2)
    begun = probe.announced(BY_NUMBER, None, 500, PATIENT_S)
    for number in range(3):
        org.put("Account", Name="A", Customer_Number__c=f"C-{number}")
    heard = heard_after(probe, BY_NUMBER, begun.position, keys=0)
    assert (heard.keys, heard.names_all) == ([], False)


@pytest.mark.parametrize("position", ["", "x", "/data/ContactChangeEvent 00ff", "/data/AccountChangeEvent 0"])
def test_a_position_of_another_topic_is_lost(probe: SalesforceProbe, position: str) -> None:
    with pytest.raises(ProbeError) as caught:
        probe.announced(SPEC, position, 500, PATIENT_S)
    assert caught.value.reason is Reason.CURSOR_LOST


def test_a_moved_org_has_lost_every_position(org: Salesforce, probe: SalesforceProbe) -> None:
    begun = probe.announced(SPEC, None, 500, PATIENT_S)
    probe.close()
    org.bus.reset()
    again = opened(org)
    with pytest.raises(ProbeError) as caught:
        again.announced(SPEC, begun.position, 500, PATIENT_S)
    assert caught.value.reason is Reason.CURSOR_LOST
    again.close()


def test_a_silent_bus_is_a_dead_connection(org: Salesforce, probe: SalesforceProbe) -> None:
    org.pubsub.keepalive_s = 600.0
    with pytest.raises(ProbeError) as caught:
        probe.announced(SPEC, None, 500, 0.1)
    assert caught.value.reason is Reason.TIMEOUT


def test_an_object_that_is_not_selected_is_a_remark(org: Salesforce, probe: SalesforceProbe) -> None:
    assert not any("announced" in each for each in probe.inspect(SPEC))
    org.bus.enabled = {"Contact"}
    (remark,) = [each for each in probe.inspect(SPEC) if "announced" in each]
    assert "Change Data Capture" in remark
