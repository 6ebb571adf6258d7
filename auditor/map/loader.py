"""Reading the integration map from YAML: every mistake at once, each with its file, line and column."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from auditor.map import yaml_document
from auditor.map.blind_spots import blind_spots
from auditor.map.idle_words import idle_words
from auditor.map.integration_map import IntegrationMap
from auditor.map.map_reader import MapReader
from auditor.map.problems import MapError, Problem
from auditor.map.settings import AlertSettings, DataType, FlowSettings
from auditor.map.validation import contradictions
from probes import registry
from probes.records.sql.settings import SqlSettings
from probes.settings import Binding, PluginSettings, SystemSettings
from probes.wording import did_you_mean


def files_of(location: Path) -> list[Path]:
    """The YAML files of a map: the file itself, or those of a folder in name order.

    Names that begin with a dot, and files in such folders, are skipped: a mounted Kubernetes ConfigMap holds each
    file again in `..data` and in the folder it links to.
    """
    if not location.is_dir():
        return [location]
    return sorted(
        each
        for each in yaml_document.files_in(location)
        if each.suffix in {".yaml", ".yml"}
        and not (each.is_fifo() or each.is_socket() or each.is_char_device() or each.is_block_device())
        and not any(part.startswith(".") for part in each.relative_to(location).parts)
    )


def load_map(
    location: Path, environment: Mapping[str, str] | None = None, *, ledger: Path | None = None
) -> IntegrationMap:
    """Load and validate an integration map.

    Args:
        location: a YAML file, or a folder of them whose sections are merged.
        environment: for `${NAME}`; the process's own by default.
        ledger: the auditor's own SQLite file, which no system may be.

    Raises:
        MapError: with every mistake found.
    """
    return check_map(location, environment, ledger=ledger)[0]


def load_systems(location: Path, environment: Mapping[str, str] | None = None) -> dict[str, SystemSettings]:
    """Load the systems of a map whose other sections may be wrong or missing.

    Raises:
        MapError: with every mistake in the systems, and every YAML error.
    """
    reader = _read_files(location, environment)
    systems = dict(_systems(reader, reader.sections.get("systems", {})))
    alone = IntegrationMap(systems=systems, data_types={}, flows={}, alerts=AlertSettings(), bindings={}, queues={})
    for path, message in contradictions(alone, reader.sections):
        reader.say(path, message)
    if not systems and not reader.problems:
        reader.say(("systems",), "the map needs at least one entry here")
    problems = [each for each in reader.problems if each.path.partition(".")[0] in {"map", "systems"}]
    if problems:
        raise MapError(problems)
    return systems


def system_text(location: Path, name: str) -> str | None:
    """One system as written in a map, with unresolved variables; None if the map has none of this name."""
    for file in files_of(location):
        document = yaml_document.load(yaml_document.read_text(file), keep_quotes=True)
        systems = document.get("systems") if isinstance(document, CommentedMap) else None
        if isinstance(systems, CommentedMap) and name in systems:
            written = yaml_document.dump({"systems": {name: systems[name]}})
            return "\n".join(line for line in written.splitlines()[1:] if line.strip())
    return None


def check_map(
    location: Path, environment: Mapping[str, str] | None = None, *, ledger: Path | None = None
) -> tuple[IntegrationMap, list[Problem]]:
    """Load and validate an integration map, and find settings without effect and blind spots.

    Raises:
        MapError: with every mistake found.
    """
    return _checked(_read_files(location, environment), ledger)


def check_text(text: str, name: str, environment: Mapping[str, str]) -> tuple[IntegrationMap, list[Problem]]:
    """Check a map that is in no file yet, as `check_map` does.

    Args:
        name: of the file that it will be in, for the places of mistakes.
    """
    reader = MapReader(environment)
    reader.read_text(name, text)
    return _checked(reader)


def _checked(reader: MapReader, ledger: Path | None = None) -> tuple[IntegrationMap, list[Problem]]:
    integration_map = _compose(reader)
    for name, system in integration_map.systems.items():
        if ledger is not None and isinstance(system, SqlSettings) and system.file == ledger.resolve():
            reader.say(
                ("systems", name, "url"),
                f"{ledger} is the auditor's own ledger, which changes while it is read; name the database of the "
                "system, or keep the ledger elsewhere, by --data, AUDITOR_DATA or AUDITOR_LEDGER",
            )
    if reader.problems:
        raise MapError(reader.problems, more=reader.incomplete or reader.unread)
    remarks = (*idle_words(integration_map), *_unseen(integration_map))
    return integration_map, sorted(reader.at(path, message) for path, message in remarks)


def _read_files(location: Path, environment: Mapping[str, str] | None) -> MapReader:
    reader = MapReader(os.environ if environment is None else environment)
    try:
        files = files_of(location)
    except yaml_document.NotTextError as error:
        reader.files.append(str(location))
        reader.say((), f"the folder {error}")
        return reader
    if not files:
        reader.files.append(str(location))
        reader.say((), "the folder holds no .yaml file")
    for file in files:
        reader.read(file)
    return reader


def _unseen(integration_map: IntegrationMap) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for name, settings in integration_map.flows.items():
        for system, message in blind_spots(integration_map.flow(name)).items():
            yield ("data_types", settings.data_type, "in", system), message
    for (data_type, system), binding in integration_map.bindings.items():
        for word, message in binding.notes():
            yield ("data_types", data_type, "in", system, word), message


def _compose(reader: MapReader) -> IntegrationMap:
    sections = reader.sections
    if sections.get("version", 1) != 1:
        reader.say(("version",), "this auditor reads version 1 of the map")
    if not reader.unread:
        for needed in ("systems", "data_types", "flows"):
            if not sections.get(needed):
                reader.say((needed,), "the map needs at least one entry here")
    systems = dict(_systems(reader, sections.get("systems", {})))
    data_types = reader.parse_all(DataType, "data_types")
    flows = reader.parse_all(FlowSettings, "flows")
    alerts = reader.parse(AlertSettings, ("alerts",), sections.get("alerts") or {})
    bindings = dict(_bindings(reader, systems, data_types))
    queues = dict(_queues(reader, systems))
    integration_map = IntegrationMap(
        systems=systems,
        data_types=data_types,
        flows=flows,
        alerts=alerts or AlertSettings(),
        bindings=bindings,
        queues=queues,
    )
    for path, message in contradictions(integration_map, sections):
        reader.say(path, message)
    return integration_map


def _systems(reader: MapReader, entries: Mapping[str, Any]) -> Iterator[tuple[str, SystemSettings]]:
    for name, entry in entries.items():
        path = ("systems", name)
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        if not isinstance(kind, str) or kind not in registry.RECORD_KINDS:
            where = (*path, "kind") if kind is not None else path
            what = f"unknown kind {kind!r}" if kind is not None else "kind is required"
            reader.say(where, what + did_you_mean(str(kind), registry.RECORD_KINDS))
            reader.incomplete = True
            continue
        parsed = reader.parse(registry.record_settings(kind), path, entry)
        if isinstance(parsed, SystemSettings):
            yield name, parsed


def _bindings(
    reader: MapReader, systems: Mapping[str, SystemSettings], data_types: Mapping[str, DataType]
) -> Iterator[tuple[tuple[str, str], Binding]]:
    """The entries under `in:` of every data type, also where it or the system has mistakes elsewhere."""
    declared = reader.sections.get("systems", {})
    for name, written in reader.sections.get("data_types", {}).items():
        held = written.get("in") if isinstance(written, Mapping) else None
        fields = written.get("fields") if isinstance(written, Mapping) else None
        for system, entry in held.items() if isinstance(held, Mapping) else ():
            path = ("data_types", name, "in", system)
            if system not in declared:
                reader.say(path, "unknown system" + did_you_mean(str(system), declared))
                continue
            kind = declared[system].get("kind") if isinstance(declared[system], Mapping) else None
            if not isinstance(kind, str) or kind not in registry.RECORD_KINDS:
                reader.incomplete = True  # its own mistake has been reported
                continue
            parsed = reader.parse(registry.record_binding(kind), path, entry)
            if not isinstance(parsed, Binding):
                continue
            for word in ("fields", "absent", "computed"):
                for field_name in getattr(parsed, word):
                    where = (*path, word) if word == "absent" else (*path, word, field_name)
                    if word != "computed" and field_name in parsed.computed:
                        reader.say(where, f"{field_name} is also under computed:, take it out of one of them")
                    if isinstance(fields, Mapping) and field_name not in fields:
                        reader.say(where, f"unknown field {field_name!r}" + did_you_mean(field_name, fields))
            if name in data_types and system in systems:
                yield (name, system), parsed


def _queues(
    reader: MapReader, systems: Mapping[str, SystemSettings]
) -> Iterator[tuple[tuple[str, str], PluginSettings]]:
    """The queues of every flow, including flows with mistakes elsewhere."""
    declared = reader.sections.get("systems", {})
    for name, flow in reader.sections.get("flows", {}).items():
        queues = flow.get("queues") if isinstance(flow, Mapping) else None
        for queue, entry in queues.items() if isinstance(queues, Mapping) else ():
            path = ("flows", name, "queues", queue)
            kind = entry.get("kind") if isinstance(entry, Mapping) else None
            if not isinstance(kind, str) or kind not in registry.QUEUE_KINDS:
                if (*path, "kind") not in reader.unresolved:
                    reader.say(path, f"unknown kind {kind!r}" + did_you_mean(str(kind), registry.QUEUE_KINDS))
                reader.incomplete = True
                continue
            parsed = reader.parse(registry.queue_settings(kind), path, entry)
            if parsed is None:
                continue
            system, stands_in = getattr(parsed, "system", None), registry.QUEUE_KINDS[kind].stands_in
            if system is not None and system not in declared:
                reader.say((*path, "system"), f"unknown system {system!r}" + did_you_mean(system, declared))
            read = systems.get(system) if system is not None else None  # its own mistakes have been reported
            if read is not None and stands_in is not None and read.kind != stands_in:
                title = registry.RECORD_KINDS[stands_in].title
                reader.say((*path, "system"), f"{system} is not a {title} system, and a {kind} lives in one")
            yield (name, queue), parsed
