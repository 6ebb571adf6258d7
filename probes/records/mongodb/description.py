"""The probable schema of a MongoDB collection, from some of its documents: there is no catalogue."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from probes.call_deadline import within
from probes.contract import MISSING, WRITTEN_FREELY, CollectionSchema, FieldSchema, ProbeError, ReadSpec, Reason
from probes.letter_case import CASELESS
from probes.phone_numbers import PHONE
from probes.records.mongodb import documents, stream
from probes.records.mongodb.session import Session
from probes.wording import did_you_mean

SAMPLE = 100
"""Documents examined to learn the fields."""


def inspect(session: Session, spec: ReadSpec) -> tuple[str, ...]:
    """Remarks on a collection; see `RecordProbe.inspect`."""
    described = session.described(spec.collection)
    remarks: list[str] = []
    if described is None:
        remarks.append(f"{spec.collection}: the login may not list collections, so it is unknown whether it exists")
    some = [documents.decoded(each) for each in session.documents(spec.collection, {}, None, {}, SAMPLE)[0]]
    paths = (*spec.key_fields, stream.stamp_of(spec), *spec.fields)
    for path in dict.fromkeys(each for each in paths if each is not None):
        remarks += _field_remarks(session, spec, path, some)
    if stream.streams(spec):
        remarks += stream.inspect(session, spec)
    if described is not None and described.get("type") == "view":
        return tuple(remarks)
    return (*remarks, *_index_remarks(session, spec), *_collation_remarks(session, spec, some))


def _field_remarks(session: Session, spec: ReadSpec, path: str, some: Sequence[Mapping[str, Any]]) -> list[str]:
    """Remarks on a field that none of the examined documents has."""
    if not some or any(documents.find(document, path) is not MISSING for document in some):
        return []
    try:
        with within(session.timeout_s):
            if session.documents(spec.collection, {path: {"$exists": True}}, None, {"_id": 1}, 1)[0]:
                return []
    except ProbeError as failure:
        if failure.reason is not Reason.TIMEOUT:
            raise
        return [f"{path} is in none of the first {len(some)} records of {spec.collection}"]
    names = dict.fromkeys(name for document in some for name in documents.paths_of(document))
    if path == spec.deleted:
        hint = did_you_mean(path, names)
        return [f"no record of {spec.collection} has {path}, which marks those that are deleted{hint}"]
    raise ProbeError(
        Reason.QUERY, f"no record of {spec.collection} has a field named {path!r}{did_you_mean(path, names)}"
    )


def _index_remarks(session: Session, spec: ReadSpec) -> list[str]:
    try:
        indexes = session.listed_indexes(spec.collection)
    except ProbeError as failure:
        if failure.reason is not Reason.PERMISSION:
            raise
        return [f"{spec.collection}: the login may not see whether its fields have an index"]
    led = {next(iter(index["key"])) for index in indexes if index.get("key") and _answers_all(index)}
    freely = {
        path: type_ for path, type_ in zip(spec.key_fields, spec.key_types, strict=True) if type_ in WRITTEN_FREELY
    }
    exact = [path for path in spec.key_fields if path not in freely]
    keyed = next((each for each in exact if each in led), exact[0] if exact else spec.key)
    written = [] if keyed in led and exact else list(freely)
    words = {CASELESS: "lower", PHONE: "e164"}
    remarks = [
        f"{spec.collection}.{path}: every read by key compares all keys of the collection; if they are all written "
        f"in their one form, say key_written: {words[freely[path]]}, and an index serves them"
        for path in written
    ]
    remarks += [
        f"{spec.collection}.{path} has no index: every read scans the collection"
        for path in (keyed, spec.own_mark)
        if path is not None and path not in led and path != "_id" and path not in written
    ]
    mark = spec.own_mark
    if mark is not None and mark in led and session.documents(spec.collection, {mark: None}, None, {"_id": 1}, 1)[0]:
        remark = f"{spec.collection}.{mark} is null or missing in some records"
        remarks.append(f"{remark}: only the sweep finds their changes")
    return remarks


def _collation_remarks(session: Session, spec: ReadSpec, some: Sequence[Mapping[str, Any]]) -> list[str]:
    if session.collations.get(spec.collection) is None:
        return []
    if not any(isinstance(documents.find(document, path), str) for document in some for path in spec.key_fields):
        return []
    return [f"{spec.collection} has a collation, and keys are compared byte by byte: no index answers for texts"]


def collections(session: Session) -> list[CollectionSchema]:
    """Every collection, described by its first documents."""
    listed = session.listed_collections({})
    names = sorted(each["name"] for each in listed if not each["name"].startswith("system."))
    views = {each["name"] for each in listed if each.get("type") == "view"}
    return [_schema(session, name, view=name in views) for name in names]


def _schema(session: Session, name: str, *, view: bool) -> CollectionSchema:
    """A collection, described by its first documents."""
    sample = session.documents(name, {}, {"_id": -1}, {}, SAMPLE)[0]
    some = [documents.decoded(each) for each in sample]
    unique = {"_id"}
    whole: tuple[str, ...] = ()
    if not view:
        with contextlib.suppress(ProbeError):
            for index in session.listed_indexes(name):
                if index.get("unique") and len(index["key"]) == 1:
                    unique |= set(index["key"])
                elif index.get("unique") and _answers_all(index):
                    whole = whole or tuple(index["key"])
    fields = []
    for path in dict.fromkeys(path for document in some for path in documents.paths_of(document)):
        values = [documents.find(document, path) for document in some]
        type_, described = documents.described([each for each in values if each is not MISSING])
        fields.append(FieldSchema(name=path, type=type_, described=described, unique=path in unique))
    there = {each.name for each in fields}
    return CollectionSchema(name=name, fields=tuple(fields), key=whole if there.issuperset(whole) else ())


def _answers_all(index: Mapping[str, Any]) -> bool:
    """Whether an index covers every document and value: not partial, hashed, text or geospatial."""
    return "partialFilterExpression" not in index and next(iter(index["key"].values())) in {1, -1}
