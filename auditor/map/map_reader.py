"""Reading the files of a map: merged sections, resolved variables, and the place of each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from auditor.map import yaml_document
from auditor.map.mistakes import of_settings, of_yaml
from auditor.map.problems import Problem
from probes.wording import did_you_mean

Path_ = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

SECTIONS = ("version", "systems", "data_types", "flows", "alerts")


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


_VARIABLE = re.compile(
    r"\$\$|\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?)\}|(?P<broken>\$\{)"
)
_BROKEN = re.compile(r"\$\$|(?P<broken>\$\{)")

FORMS = "write ${NAME}, ${NAME:-DEFAULT} or ${file:PATH}, and $${ where a text holds ${ itself"
"""What may begin with `${`."""

IN_DEFAULT = "${ in a default begins no variable: write a default without ${, or none"


WHERE_SET = "set it in the shell, or in .env in the folder you start from"
"""What to do about a variable that is not set."""


class MapReader:
    """Collects the sections of all files, the place of each key, and what is wrong.

    Attributes:
        unread: a file, or a section of one, was not read, so the map may hold more than is known.
        incomplete: an entry has mistakes that keep further ones from being looked for.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.sections: dict[str, Any] = {}
        self.places: dict[Path_, tuple[str, int, int]] = {}
        self.problems: list[Problem] = []
        self.unresolved: set[Path_] = set()
        self.files: list[str] = []
        self.unread = self.incomplete = False

    def say(self, path: Path_, message: str) -> None:
        """Note a mistake at a path; not of a value whose variables could not be replaced, which is not the file's."""
        if path not in self.unresolved:
            self.problems.append(self.at(path, message))

    def _unresolvable(self, path: Path_, message: str) -> str:
        """Note that a variable at a path cannot be replaced; answers what stands for it."""
        self.problems.append(self.at(path, message))
        self.unresolved.add(path)
        return ""

    def at(self, path: Path_, message: str) -> Problem:
        """A remark at a path, located at the nearest known place."""
        nearest = path
        while nearest and nearest not in self.places:
            nearest = nearest[:-1]
        file, line, column = self.places.get(nearest, (self.files[0] if self.files else "map", 1, 1))
        dotted = ".".join(str(part) for part in path) or "map"
        return Problem(file=file, line=line, column=column, path=dotted, message=message)

    def read(self, file: Path) -> None:
        self.files.append(str(file))
        try:
            text = yaml_document.read_text(file)
        except OSError as error:
            self.say((), f"cannot read {file}: {error.strerror}")
            self.unread = True
            return
        except yaml_document.NotTextError as error:
            problem = Problem(file=str(file), line=error.line, column=1, path="map", message=f"the file {error}")
            self.problems.append(problem)
            self.unread = True
            return
        self._take(file, text)

    def read_text(self, name: str, text: str) -> None:
        """Read a text that is in no file yet.

        Args:
            name: of the file, for the places of mistakes.
        """
        self.files.append(name)
        size = len(text.encode("utf-8", "replace"))
        if size > yaml_document.FILE_LIMIT_BYTES:
            self.say((), f"the map is larger than {yaml_document.FILE_LIMIT_BYTES:,} bytes, which no map is")
            self.unread = True
            return
        self._take(Path(name), text)

    def _take(self, file: Path, text: str) -> None:
        try:
            document = yaml_document.load(text)
        except (YAMLError, ValueError, RecursionError) as error:
            line, column, message = of_yaml(error, text)
            self.problems.append(Problem(file=str(file), line=line, column=column, path="map", message=message))
            self.unread = True
            return
        if document is None:
            return
        if not isinstance(document, CommentedMap):
            self.say((), "a map is a mapping with the sections " + ", ".join(SECTIONS[1:]))
            self.unread = True
            return
        for section, content in document.items():
            self._note(file, (section,), _place(document, section))
            if section not in SECTIONS:
                self.say((section,), "unknown section" + did_you_mean(str(section), SECTIONS))
                self.unread = True
            elif section in {"version", "alerts"}:
                self.sections[section] = self._plain(file, (section,), content)
            else:
                self._entries(file, section, content)

    def _entries(self, file: Path, section: str, content: Any) -> None:
        if not isinstance(content, CommentedMap):
            self.say((section,), "expected a mapping of names")
            self.unread = True
            return
        entries_so_far = self.sections.setdefault(section, {})
        for name, entry in content.items():
            path = (section, name)
            if name in entries_so_far:
                first = self.places[path]
                self._note(file, path, _place(content, name))
                self.say(path, f"already defined at {first[0]}:{first[1]}")
                continue
            self._note(file, path, _place(content, name))
            if not NAME.fullmatch(str(name)):
                self.say(path, "a name is a letter followed by up to 62 letters, digits, - or _")
            entries_so_far[name] = self._plain(file, path, entry)

    def _note(self, file: Path, path: Path_, at: tuple[int, int]) -> None:
        self.places[path] = (str(file), at[0] + 1, at[1] + 1)

    def _plain(self, file: Path, path: Path_, node: Any) -> Any:
        if isinstance(node, CommentedMap):
            plain = {}
            for key, value in node.items():
                where = (node.lc.data or {}).get(key)  # a merged key (<<) is located elsewhere
                if where is not None:
                    self._note(file, (*path, key), (where[0], where[1]))
                plain[key] = self._plain(file, (*path, key), value)
            return plain
        if isinstance(node, CommentedSeq):
            items = []
            for index, value in enumerate(node):
                self._note(file, (*path, index), node.lc.item(index))
                items.append(self._plain(file, (*path, index), value))
            return items
        return self._interpolated(path, str(node)) if isinstance(node, str) else node

    def _interpolated(self, path: Path_, text: str) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match.group() == "$$":
                return "$"
            if (groups := match.groupdict())["broken"]:
                return self._unresolvable(path, f"${{ begins no variable: {FORMS}")
            if "${" in (groups["default"] or ""):
                return self._unresolvable(path, IN_DEFAULT)
            if match["file"]:
                try:
                    return yaml_document.read_text(Path(match["file"]), yaml_document.SECRET_LIMIT_BYTES).strip()
                except (OSError, ValueError) as error:
                    why = f": it {error}" if isinstance(error, yaml_document.NotTextError) else ""
                    return self._unresolvable(path, f"cannot read the file {match['file']}{why}")
            value = self.environment.get(match["name"], match["default"])
            if value is None:
                return self._unresolvable(path, f"environment variable {match['name']} is not set: {WHERE_SET}")
            return value

        # Without the last } no variable ends, and each search would run to the end of the text.
        end = text.rfind("}") + 1
        return _VARIABLE.sub(replaced, text[:end]) + _BROKEN.sub(replaced, text[end:])

    def parse(self, model: type[ModelT], path: Path_, content: Any) -> ModelT | None:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            self.incomplete = True
            for each in error.errors(include_url=False):
                where = (*path, *_as_written(each["loc"], content))
                message = of_settings(each)
                if each["type"] == "extra_forbidden":
                    words = _words(model, each["loc"][:-1])
                    message = "unknown word" + did_you_mean(str(each["loc"][-1]), words)
                elif each["type"] == "missing":
                    message = "is required"
                self.say(where, message)
            return None

    def parse_all(self, model: type[ModelT], section: str) -> dict[str, ModelT]:
        """Parse every valid entry of a section."""
        entries = self.sections.get(section, {}).items()
        parsed = ((name, self.parse(model, (section, name), entry)) for name, entry in entries)
        return {name: each for name, each in parsed if each is not None}


def _place(mapping: CommentedMap, key: object) -> tuple[int, int]:
    """The place of a key; for a merged one (<<) the place of the mapping itself."""
    place = (mapping.lc.data or {}).get(key)
    return (place[0], place[1]) if place is not None else (mapping.lc.line or 0, mapping.lc.col or 0)


def _as_written(loc: tuple[str | int, ...], content: Any) -> Path_:
    """Where a mistake stands in the map: pydantic names in between which of several models a `kind` has chosen."""
    found: list[str | int] = []
    for position, part in enumerate(loc):
        chosen = isinstance(content, Mapping) and part not in content and content.get("kind") == part
        if (chosen and position < len(loc) - 1) or part == "[key]":  # pydantic's mark for the key of a mapping
            continue
        found.append(part)
        content = content.get(part) if isinstance(content, Mapping) else None
    return tuple(found)


def _words(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that a (nested) model accepts, as written in the map."""
    reached: list[type[BaseModel]] = [model]
    for part in loc:
        chosen = [each for each in reached if len(reached) > 1 and part in _kinds(each)]
        fields = [
            field for each in reached for name, field in each.model_fields.items() if part == (field.alias or name)
        ]
        if chosen or fields:
            reached = chosen or _models_in(fields[0].annotation)
        # Any other part is a name or a position in a mapping or list of the same model.
    return [field.alias or name for each in reached[:1] for name, field in each.model_fields.items()]


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    """What `kind` may be to choose this model among several."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) for found in _models_in(each)]
