"""One record side by side: what every system holds for a key right now, read live and never stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from auditor.map.flow import currencies_of
from auditor.map.integration_map import IntegrationMap
from auditor.map.record_links import link_of
from auditor.storage.kept_text import restored
from auditor.systems.reader import SystemReader
from checks.computed import columns_of
from checks.delete_flags import flag_of, parted
from checks.equality import agree
from checks.field_text import text_of
from checks.fields import parser_for
from checks.sides import beside_currencies, read_field, read_key
from checks.values import UnreadableError
from probes.contract import KEY, MARK, MISSING, VALUES, Key, ReadSpec, Row
from probes.exact_json import encode
from probes.settings import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field of one copy.

    Attributes:
        text: the value as displayed.
        state: `owner` for the value that counts, `agrees`, `differs`, `unreadable` or `absent` (the system
            does not carry the field).
    """

    text: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyView:
    """One system's copy.

    Attributes:
        found: rows with this key; normally 1.
        error: why it could not be read, or "".
        cells: by field.
        link: the address of the record in the system itself.
        raw: the first row as the system holds it: each field's name there, and its value as JSON.
        deleted: the field that marks it as deleted, "" if none does.
    """

    system: str
    role: str
    found: int
    error: str
    changed_at: str
    read_at: datetime
    cells: Mapping[str, Cell]
    link: str | None = None
    deleted: str = ""
    raw: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView:
    """A record in every system, the owner first."""

    data_type: str
    key: Key
    copies: tuple[CopyView, ...]

    @property
    def differing(self) -> tuple[str, ...]:
        """Fields in which a copy differs from the one that counts."""
        names: dict[str, None] = {}
        for copy in self.copies:
            for name, cell in copy.cells.items():
                if cell.state == "differs":
                    names[name] = None
        return tuple(names)

    @property
    def verdict(self) -> str:
        """`agrees`, `differs`, `not found` or `cannot verify`; one reading only, so never a judgement."""
        if any(copy.error or copy.found > 1 for copy in self.copies):
            return "cannot verify"
        present = {bool(copy.found) for copy in self.copies}
        if present == {False}:
            return "not found"
        if self.differing or len(present) > 1:
            return "differs"
        unread = any(cell.state == "unreadable" for copy in self.copies for cell in copy.cells.values())
        return "cannot verify" if unread else "agrees"


def read_record(
    integration_map: IntegrationMap, readers: Mapping[str, SystemReader], data_type: str, key_text: str
) -> RecordView:
    """Read a record from every system that holds it according to the map.

    Args:
        key_text: the key as typed by a person, or as shown by the views and the pages (`auditor.storage.kept_text`).

    Raises:
        KeyError: no such data type.
        UnreadableError: the text is not a key of this data type.
    """
    key = integration_map.data_types[data_type].typed_key(restored(key_text))
    return record_of(integration_map, readers, data_type, key)


def record_of(
    integration_map: IntegrationMap, readers: Mapping[str, SystemReader], data_type: str, key: Key
) -> RecordView:
    """Read the record of a key from every system that holds it according to the map; see `read_record`."""
    described = integration_map.data_types[data_type]
    order = [described.owner, *(name for name in described.in_ if name != described.owner)]
    names = [name for name, rule in described.fields.items() if rule.compare]
    rows: dict[str, list[Row]] = {}
    errors: dict[str, str] = {}
    read_at: dict[str, datetime] = {}
    marked: dict[str, list[Row]] = {}
    own_keys: dict[str, Sequence[Key]] = {}
    for system in order:
        spec = spec_of(integration_map, data_type, system)
        reading = readers[system].fetch(spec, [key])
        read_at[system] = datetime.now(UTC)
        own_keys[system] = reading.own_keys.get(key, ())
        errors[system] = (
            str(reading.error) if reading.error else reading.unreadable.get(key) or reading.doubled.get(key, "")
        )
        parse = described.key_parser(system)
        rows[system] = [row for row in reading.rows if read_key(parse, row[KEY]) == key]
        flag = flag_of(integration_map.bindings[data_type, system].deleted, system)
        if flag is not None:
            rows[system], marked[system], doubtful = parted(flag, rows[system])
            if doubtful:
                errors[system] = f"whether it is deleted, {flag.field}: {doubtful[0][1]}"
    copies = []
    for system in order:
        system_rows = rows[system]
        first = {name: _first(rows, name) for name in order}
        cells = {name: _cell(integration_map, data_type, name, system, first) for name in names}
        stamped = integration_map.bindings[data_type, system].changed_at is not None
        gone = marked.get(system, []) if not system_rows and not errors[system] else []
        stamp = (system_rows or gone)[0][MARK] if (system_rows or gone) and stamped else None
        copies.append(
            CopyView(
                system=system,
                role="owner" if system == described.owner else "copy",
                found=len(system_rows),
                error=errors[system],
                changed_at="" if stamp is None or stamp is MISSING else str(stamp),
                read_at=read_at[system],
                cells=cells if system_rows else {},
                link=link_of(
                    integration_map.systems[system],
                    integration_map.bindings[data_type, system],
                    key,
                    own_keys[system],
                ),
                deleted=spec_of(integration_map, data_type, system).deleted or "" if gone else "",
                raw=_raw(spec_of(integration_map, data_type, system), (system_rows or gone)[:1]),
            )
        )
    return RecordView(data_type=data_type, key=key, copies=tuple(copies))


def spec_of(integration_map: IntegrationMap, data_type: str, system: str) -> ReadSpec:
    """Where to read every compared field of a data type in one system."""
    binding: Binding = integration_map.bindings[data_type, system]
    described = integration_map.data_types[data_type]
    carried = [name for name, rule in described.fields.items() if rule.compare and name not in binding.absent]
    return described.spec(data_type, system, binding, carried, zone=integration_map.systems[system].zone)


def _first(rows: Mapping[str, list[Row]], system: str) -> Row | None:
    return rows[system][0] if rows[system] else None


def _raw(spec: ReadSpec, rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Every field that was read of the first row, without the mark of a deletion; nothing without a row."""
    return tuple(
        (name, "absent" if value is MISSING else encode(value))
        for row in rows
        for name, value in zip(spec.fields, row[VALUES], strict=False)  # the mark stands last
    )


def _value(integration_map: IntegrationMap, data_type: str, name: str, system: str, row: Row, other: str) -> Any:
    """One field of a system's copy in its canonical form, as compared with another system.

    Raises:
        UnreadableError: the value is not what its field declares.
    """
    described = integration_map.data_types[data_type]
    binding = integration_map.bindings[data_type, system]
    zone = integration_map.systems[system].zone
    rules = [
        (each, rule.between(system, other))
        for each, rule in described.fields.items()
        if rule.compare and each not in binding.absent
    ]
    at = [each for each, _ in rules].index(name)
    parsers = [parser_for(rule, system, zone) for _, rule in rules]
    columns = columns_of(binding, rules)
    raw = row[VALUES] if columns is None else columns.values(row[VALUES])
    values = beside_currencies(raw, parsers, currencies_of(rules))
    return read_field(parsers[at], rules[at][1], values[at])


def _cell(
    integration_map: IntegrationMap, data_type: str, name: str, system: str, rows: Mapping[str, Row | None]
) -> Cell:
    """One field of one system's copy, compared with the copy of the field's owner."""
    described = integration_map.data_types[data_type]
    rule = described.fields[name]
    owner = rule.owner or described.owner
    carries = {
        each: row is not None and name not in integration_map.bindings[data_type, each].absent
        for each, row in rows.items()
    }
    if not carries[system]:
        return Cell(text="", state="absent")
    try:
        mine = _value(integration_map, data_type, name, system, rows[system] or (), owner)
    except UnreadableError as error:
        return Cell(text=str(error), state="unreadable")
    text = text_of(rule, mine)
    if system == owner:
        return Cell(text=text, state="owner")
    if not carries.get(owner):
        return Cell(text=text, state="absent")
    try:
        counts = _value(integration_map, data_type, name, owner, rows[owner] or (), system)
    except UnreadableError:
        return Cell(text=text, state="unreadable")
    return Cell(text=text, state="agrees" if agree(rule.between(owner, system), counts, mine) else "differs")
