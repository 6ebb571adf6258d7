"""Every table that is looked up by a cause, a state, a reason or the like has an entry for each of them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import ModuleType
from typing import get_args

import pytest

from auditor.cli import tables
from auditor.dashboard import look, side_by_side
from auditor.dashboard.pages import record
from auditor.history.archive import _ARROW
from auditor.history.status import Standing
from auditor.ledger import ColumnType
from auditor.map.consumers import ROLE_WEIGHT
from auditor.map.diagram import STATE_COLOURS
from auditor.map.settings import Consumer
from checks.breaches import BREACH_OF, MEANINGS, Breach
from checks.cause import FAMILY, Cause
from checks.causes import GRAVEST_FIRST
from checks.escalation import State
from checks.tables import complete
from tests import HOME

PARTS = ("auditor", "checks", "probes", "demo")


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    for part in PARTS:
        for file in sorted((HOME / part).rglob("*.py")):
            if "migrations" in file.parts or file.name in {"__main__.py", "app.py", "pages.py", "env.py"}:
                continue
            name = ".".join(file.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")
            yield importlib.import_module(name), ast.parse(file.read_text())


def member(module: ModuleType, node: ast.expr | None) -> Enum | None:
    """The member of an enumeration that an expression names, also by its value."""
    if isinstance(node, ast.Attribute) and node.attr == "value":
        node = node.value
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
        return None
    kind = getattr(module, node.value.id, None)
    return kind[node.attr] if isinstance(kind, type) and issubclass(kind, Enum) else None


def checked(tree: ast.Module) -> set[int]:
    """Dictionaries that are checked when the module is loaded, or asked with something to fall back on."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "complete":
            found.update(id(each) for each in node.args)
        if isinstance(node, ast.FunctionDef):
            asked = {
                each.func.value.id
                for each in ast.walk(node)
                if isinstance(each, ast.Call)
                and isinstance(each.func, ast.Attribute)
                and each.func.attr == "get"
                and isinstance(each.func.value, ast.Name)
            }
            for each in ast.walk(node):
                if isinstance(each, ast.Assign) and {getattr(name, "id", "") for name in each.targets} & asked:
                    found.add(id(each.value))
        if isinstance(node, ast.Attribute) and node.attr == "get":
            found.add(id(node.value))
    return found


def test_every_dictionary_with_the_members_of_an_enumeration_has_all_of_them() -> None:
    holes, tables = [], 0
    for module, tree in modules():
        known = checked(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Dict) or len(node.keys) < 2:
                continue
            members = {each for key in node.keys if (each := member(module, key)) is not None}
            kinds = {type(each) for each in members}
            if len(members) != len(node.keys) or len(kinds) != 1:
                continue
            tables += 1
            missing = set(kinds.pop()) - members
            if missing and id(node) not in known:
                holes.append(f"{module.__name__}:{node.lineno} {missing}")
    assert holes == []
    assert tables >= 4


def test_every_dictionary_with_most_values_of_an_enumeration_has_all_of_them() -> None:
    """Tables with plain text for keys, such as what a cause is called on the pages."""
    kinds = {
        kind
        for module, _ in modules()
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Enum) and kind.__module__.partition(".")[0] in PARTS
    }
    holes, tables = [], 0
    for module, tree in modules():
        for node in tree.body:
            value = getattr(node, "value", None)
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Dict):
                continue
            keys = {key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
            values = max(({each.value for each in kind} for kind in kinds), key=lambda each: len(each & keys))
            if len(values) > 2 and 2 * len(values & keys) > len(values):
                tables += 1
                if not values <= keys:
                    holes.append(f"{module.__name__}:{value.lineno} lacks {values - keys}")
    assert holes == []
    assert tables >= 2


def test_every_breach_has_words() -> None:
    assert all(MEANINGS[breach].words for breach in Breach)
    assert {*BREACH_OF.values()} <= MEANINGS.keys()


def test_every_breach_is_one_that_something_in_the_code_can_find() -> None:
    named = re.compile(r"Breach\.([A-Z_]+)")
    finders = (HOME / "auditor").rglob("*.py")
    found = {Breach[name] for file in finders for name in named.findall(file.read_text())}
    assert found | {*BREACH_OF.values()} == {*Breach}


@pytest.mark.parametrize(("column", "names"), [("breach", [*Breach]), ("cause", [*Cause])])
def test_the_documentation_of_the_views_names_all_of_them(column: str, names: list[str]) -> None:
    rows = re.findall(rf"^\| `{column}` \| (.+) \|$", (HOME / "docs" / "views.md").read_text(), re.MULTILINE)
    assert any({str(each) for each in names} <= set(re.findall(r"\w+", row)) for row in rows)


@pytest.mark.parametrize(
    ("table", "of"),
    [
        (look.FAMILY, FAMILY.values()),
        (look.INCIDENT, ["open", "resolved"]),
        (look.MESSAGE, ["pending", "sending", "sent", "failed", "withdrawn"]),
        (STATE_COLOURS, list(Standing)),
        (look.CONFLICT, list(State)),
        (ROLE_WEIGHT, get_args(Consumer.model_fields["role"].annotation)),
        (_ARROW, get_args(ColumnType)),
        (tables._STYLES, ["owner", "agrees", "differs", "unreadable", "absent"]),
        (tables._MARKS, ["owner", "agrees", "differs", "unreadable", "absent"]),
        (side_by_side.MARKS, ["owner", "agrees", "differs", "unreadable", "absent"]),
        (record.SIGNS, ["agrees", "differs", "not found", "cannot verify"]),
    ],
)
def test_a_table_has_an_entry_for_everything_it_is_asked_for(table: Mapping[str, object], of: list[str]) -> None:
    assert {str(each) for each in of} <= table.keys()


def test_any_cause_of_a_field_has_its_place_among_the_gravest() -> None:
    assert sorted(GRAVEST_FIRST) == sorted(Cause)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def test_a_table_with_a_hole_does_not_load() -> None:
    with pytest.raises(ValueError, match="BLUE"):
        complete({Colour.RED: 1})
    with pytest.raises(ValueError, match="RED"):
        complete({Colour.RED: 1, Colour.BLUE: 2}, but={Colour.RED})
    assert complete({Colour.RED: 1}, but={Colour.BLUE}) == {Colour.RED: 1}
