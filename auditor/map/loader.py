"""Reading the integration map from YAML: every mistake at once, each with its file, line and column."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from auditor.map import yaml_document
from auditor.map.blind_spots import blind_spots
from auditor.map.idle_words import idle_words
from auditor.map.integration_map import IntegrationMap
from auditor.map.mistakes import of_settings, of_yaml
from auditor.map.settings import AlertSettings, DataType, FlowSettings
from auditor.map.validation import contradictions
from probes import registry
from probes.contract import Binding, PluginSettings, SystemSettings
from probes.wording import did_you_mean

SECTIONS = ("version", "systems", "data_types", "flows", "alerts")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"\$\$|\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?)\}")

Path_ = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in the map."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.path}: {self.message}"


class MapError(Exception):
    """The map cannot be used; `problems` holds every mistake found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in sorted(problems)))
        self.problems = sorted(problems)


class _Reader:
    """Collects the sections of all files, where each word stands, and what is wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.sections: dict[str, Any] = {}
        self.places: dict[Path_, tuple[str, int, int]] = {}
        self.problems: list[Problem] = []
        self.unresolved: set[Path_] = set()
        self.files: list[str] = []

    def say(self, path: Path_, message: str) -> None:
        """Note a mistake at a path."""
        self.problems.append(self.at(path, message))

    def at(self, path: Path_, message: str) -> Problem:
        """A remark at a path; the nearest known place stands for one that has none."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        file, line, column = self.places.get(known, (self.files[0] if self.files else "map", 1, 1))
        dotted = ".".join(str(part) for part in path) or "map"
        return Problem(file=file, line=line, column=column, path=dotted, message=message)

    def read(self, file: Path) -> None:
        self.files.append(str(file))
        try:
            text = yaml_document.read_text(file)
        except OSError as error:
            self.say((), f"cannot read {file}: {error.strerror}")
            return
        except yaml_document.NotTextError as error:
            told = Problem(file=str(file), line=error.line, column=1, path="map", message=f"the file {error}")
            self.problems.append(told)
            return
        try:
            document = yaml_document.load(text)
        except (YAMLError, ValueError, RecursionError) as error:
            line, column, message = of_yaml(error, text)
            self.problems.append(Problem(file=str(file), line=line, column=column, path="map", message=message))
            return
        if document is None:
            return
        if not isinstance(document, CommentedMap):
            self.say((), "a map is a mapping with the sections " + ", ".join(SECTIONS[1:]))
            return
        for section, content in document.items():
            self._note(file, (section,), _place(document, section))
            if section not in SECTIONS:
                self.say((section,), "unknown section" + did_you_mean(str(section), SECTIONS))
            elif section in {"version", "alerts"}:
                self.sections[section] = self._plain(file, (section,), content)
            else:
                self._entries(file, section, content)

    def _entries(self, file: Path, section: str, content: Any) -> None:
        if not isinstance(content, CommentedMap):
            self.say((section,), "expected a mapping of names")
            return
        known = self.sections.setdefault(section, {})
        for name, entry in content.items():
            path = (section, name)
            if name in known:
                first = self.places[path]
                self._note(file, path, _place(content, name))
                self.say(path, f"already defined at {first[0]}:{first[1]}")
                continue
            self._note(file, path, _place(content, name))
            if not NAME.fullmatch(str(name)):
                self.say(path, "a name is a letter followed by up to 62 letters, digits, - or _")
            known[name] = self._plain(file, path, entry)

    def _note(self, file: Path, path: Path_, at: tuple[int, int]) -> None:
        self.places[path] = (str(file), at[0] + 1, at[1] + 1)

    def _plain(self, file: Path, path: Path_, node: Any) -> Any:
        if isinstance(node, CommentedMap):
            plain = {}
            for key, value in node.items():
                where = (node.lc.data or {}).get(key)  # a merged key (<<) stands elsewhere
                if where is not None:
                    self._note(file, (*path, key), (where[0], where[1]))
                plain[key] = self._plain(file, (*path, key), value)
            return plain
        if isinstance(node, CommentedSeq):
            items = []
            for at, value in enumerate(node):
                self._note(file, (*path, at), node.lc.item(at))
                items.append(self._plain(file, (*path, at), value))
            return items
        return self._interpolated(path, str(node)) if isinstance(node, str) else node

    def _interpolated(self, path: Path_, text: str) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match.group() == "$$":
                return "$"
            if match["file"]:
                try:
                    return yaml_document.read_text(Path(match["file"]), yaml_document.SECRET_LIMIT_BYTES).strip()
                except (OSError, ValueError) as error:
                    why = f": it {error}" if isinstance(error, yaml_document.NotTextError) else ""
                    self.say(path, f"cannot read the file {match['file']}{why}")
                    self.unresolved.add(path)
                    return ""
            value = self.environment.get(match["name"], match["default"])
            if value is None:
                self.say(path, f"environment variable {match['name']} is not set")
                self.unresolved.add(path)
                return ""
            return value

        # Without the last } none of them ends, and each would be looked for up to the end of the text.
        end = text.rfind("}") + 1
        return _VARIABLE.sub(replaced, text[:end]) + text[end:].replace("$$", "$")

    def parse(self, model: type[ModelT], path: Path_, content: Any) -> ModelT | None:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                where = (*path, *each["loc"])
                if where in self.unresolved:
                    continue
                message = of_settings(each)
                if each["type"] == "extra_forbidden":
                    words = _words(model, each["loc"][:-1])
                    message = "unknown word" + did_you_mean(str(each["loc"][-1]), words)
                elif each["type"] == "missing":
                    message = "is required"
                self.say(where, message)
            return None

    def parse_all(self, model: type[ModelT], section: str) -> dict[str, ModelT]:
        """Parse every entry of a section that can be."""
        entries = self.sections.get(section, {}).items()
        parsed = ((name, self.parse(model, (section, name), entry)) for name, entry in entries)
        return {name: each for name, each in parsed if each is not None}


def _place(mapping: CommentedMap, key: object) -> tuple[int, int]:
    """Where a word stands; one that was merged in (<<) stands elsewhere, and the mapping's own place is told."""
    known = (mapping.lc.data or {}).get(key)
    return (known[0], known[1]) if known is not None else (mapping.lc.line or 0, mapping.lc.col or 0)


def _words(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The words a (nested) model knows, as they are written in the map."""
    reached: type[BaseModel] | None = model
    for part in loc:
        if reached is None:
            return []
        by_word = {field.alias or name: field for name, field in reached.model_fields.items()}
        if part in by_word:
            reached = _model_in(by_word[str(part)].annotation)
        # Any other part is a name or a position in a mapping or list of the same model.
    return [] if reached is None else [field.alias or name for name, field in reached.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def files_of(location: Path) -> list[Path]:
    """The YAML files of a map: the file itself, or those of a folder in name order.

    What begins with a dot, or stands in a folder that does, is none: a mounted Kubernetes ConfigMap holds each
    file once more in `..data` and in the folder that this leads to.
    """
    if not location.is_dir():
        return [location]
    return sorted(
        each
        for each in yaml_document.files_in(location)
        if each.suffix in {".yaml", ".yml"}
        and not any(part.startswith(".") for part in each.relative_to(location).parts)
    )


def load_map(location: Path, environment: Mapping[str, str] | None = None) -> IntegrationMap:
    """Load and validate an integration map.

    Args:
        location: a YAML file, or a folder of them whose sections are merged.
        environment: for `${NAME}`; the process's own by default.

    Raises:
        MapError: with every mistake found.
    """
    return check_map(location, environment)[0]


def load_systems(location: Path, environment: Mapping[str, str] | None = None) -> dict[str, SystemSettings]:
    """Load the systems of a map, of which the other sections may be wrong or not written yet.

    Raises:
        MapError: with every mistake in the systems, or in what is no YAML.
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
    """One system as it is written in a map, its variables as they are; None where the map has none of this name."""
    for file in files_of(location):
        document = yaml_document.load(yaml_document.read_text(file), keep_quotes=True)
        systems = document.get("systems") if isinstance(document, CommentedMap) else None
        if isinstance(systems, CommentedMap) and name in systems:
            written = yaml_document.dump({"systems": {name: systems[name]}})
            return "\n".join(line for line in written.splitlines()[1:] if line.strip())
    return None


def check_map(location: Path, environment: Mapping[str, str] | None = None) -> tuple[IntegrationMap, list[Problem]]:
    """Load and validate an integration map, and find what it says in vain, and what it leaves unseen.

    Raises:
        MapError: with every mistake found.
    """
    reader = _read_files(location, environment)
    integration_map = _compose(reader)
    if reader.problems:
        raise MapError(reader.problems)
    remarks = (*idle_words(integration_map), *_unseen(integration_map))
    return integration_map, sorted(reader.at(path, message) for path, message in remarks)


def _read_files(location: Path, environment: Mapping[str, str] | None) -> _Reader:
    reader = _Reader(os.environ if environment is None else environment)
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


def _compose(reader: _Reader) -> IntegrationMap:
    sections = reader.sections
    if sections.get("version", 1) != 1:
        reader.say(("version",), "this auditor reads version 1 of the map")
    if not reader.problems:
        for needed in ("systems", "data_types", "flows"):
            if not sections.get(needed):
                reader.say((needed,), "the map needs at least one entry here")
    systems = dict(_systems(reader, sections.get("systems", {})))
    data_types = reader.parse_all(DataType, "data_types")
    flows = reader.parse_all(FlowSettings, "flows")
    alerts = reader.parse(AlertSettings, ("alerts",), sections.get("alerts") or {})
    bindings = dict(_bindings(reader, systems, data_types))
    queues = dict(_queues(reader))
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


def _systems(reader: _Reader, entries: Mapping[str, Any]) -> Iterator[tuple[str, SystemSettings]]:
    for name, entry in entries.items():
        path = ("systems", name)
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        if not isinstance(kind, str) or kind not in registry.RECORD_KINDS:
            where = (*path, "kind") if kind is not None else path
            what = f"unknown kind {kind!r}" if kind is not None else "kind is required"
            reader.say(where, what + did_you_mean(str(kind), registry.RECORD_KINDS))
            continue
        parsed = reader.parse(registry.record_settings(kind), path, entry)
        if isinstance(parsed, SystemSettings):
            yield name, parsed


def _bindings(
    reader: _Reader, systems: Mapping[str, SystemSettings], data_types: Mapping[str, DataType]
) -> Iterator[tuple[tuple[str, str], Binding]]:
    for name, data_type in data_types.items():
        for system, entry in data_type.in_.items():
            path = ("data_types", name, "in", system)
            if system not in reader.sections.get("systems", {}):
                reader.say(path, "unknown system" + did_you_mean(system, reader.sections.get("systems", {})))
                continue
            if system not in systems:
                continue  # its own mistakes have been told
            model = registry.record_binding(getattr(systems[system], "kind"))  # noqa: B009
            parsed = reader.parse(model, path, entry)
            if parsed is None:
                continue
            for word in ("fields", "absent"):
                for field_name in getattr(parsed, word):
                    if field_name not in data_type.fields:
                        reader.say(
                            (*path, word, field_name) if word == "fields" else (*path, word),
                            f"unknown field {field_name!r}" + did_you_mean(field_name, data_type.fields),
                        )
            yield (name, system), parsed


def _queues(reader: _Reader) -> Iterator[tuple[tuple[str, str], PluginSettings]]:
    """The queues of every flow, also of one that has mistakes elsewhere."""
    known = reader.sections.get("systems", {})
    for name, flow in reader.sections.get("flows", {}).items():
        queues = flow.get("queues") if isinstance(flow, Mapping) else None
        for queue, entry in queues.items() if isinstance(queues, Mapping) else ():
            path = ("flows", name, "queues", queue)
            kind = entry.get("kind") if isinstance(entry, Mapping) else None
            if not isinstance(kind, str) or kind not in registry.QUEUE_KINDS:
                reader.say(path, f"unknown kind {kind!r}" + did_you_mean(str(kind), registry.QUEUE_KINDS))
                continue
            parsed = reader.parse(registry.queue_settings(kind), path, entry)
            if parsed is None:
                continue
            system = getattr(parsed, "system", None)
            if system is not None and system not in known:
                reader.say((*path, "system"), f"unknown system {system!r}" + did_you_mean(system, known))
            elif system is not None and known[system].get("kind") != "sql":
                reader.say((*path, "system"), f"{system} is no SQL system, and a {kind} stands in one")
            yield (name, queue), parsed


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the map, for editors."""
    definitions: dict[str, Any] = {}

    def schema_of(model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[model.__name__] = schema
        return {"$ref": f"#/$defs/{model.__name__}"}

    systems = [schema_of(registry.record_settings(kind)) for kind in registry.RECORD_KINDS]
    bindings = [schema_of(registry.record_binding(kind)) for kind in registry.RECORD_KINDS]
    queues = [schema_of(registry.queue_settings(kind)) for kind in registry.QUEUE_KINDS]
    data_type, flow, alerts = schema_of(DataType), schema_of(FlowSettings), schema_of(AlertSettings)
    definitions["DataType"]["properties"]["in"]["additionalProperties"] = {"anyOf": bindings}
    definitions["FlowSettings"]["properties"]["queues"]["additionalProperties"] = {"anyOf": queues}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plumbline integration map",
        "type": "object",
        "additionalProperties": False,
        "required": ["systems", "data_types", "flows"],
        "properties": {
            "version": {"const": 1},
            "systems": {"type": "object", "additionalProperties": {"anyOf": systems}},
            "data_types": {"type": "object", "additionalProperties": data_type},
            "flows": {"type": "object", "additionalProperties": flow},
            "alerts": alerts,
        },
        "$defs": definitions,
    }
