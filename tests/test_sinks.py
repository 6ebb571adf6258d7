"""No text from outside reaches a page, a message or a terminal but through the escaping of that medium.

Read from the source: whatever is given to something that draws (a sink) must be made of constants, numbers, our own
words, and texts that were escaped for it. What cannot be followed counts as a text from outside. A new page that
forgets to escape fails here, whatever ledger it is tried with.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import HOME

MARKDOWN: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("markdown", "caption", "error", "warning", "info", "success", "exception", "title"), (0,)),
    **dict.fromkeys(("header", "subheader", "button", "download_button", "link_button", "toggle", "checkbox"), (0,)),
    **dict.fromkeys(("selectbox", "multiselect", "text_input", "text_area", "number_input", "radio", "tabs"), (0,)),
    **dict.fromkeys(("segmented_control", "pills", "slider", "expander", "popover", "form_submit_button"), (0,)),
    **dict.fromkeys(("toast", "spinner", "status", "badge", "write_stream"), (0,)),
    "metric": (0, 1, 2),
    **dict.fromkeys(("TextColumn", "NumberColumn", "DatetimeColumn", "ProgressColumn", "ButtonColumn"), (0,)),
    **dict.fromkeys(("LineChartColumn", "BarChartColumn", "CheckboxColumn", "ListColumn"), (0,)),
    "nothing": (0,),  # our own, whose text is drawn as it is
    "link": (0,),
    "facet": (0,),
    "framed": (0,),
}
"""What draws Markdown: the positions of its words."""

MARKDOWN_WORDS = {"label", "body", "help", "captions", "delta", "text", "icon", "page_title"}
"""Keyword arguments of those that are drawn as Markdown, too."""

BANNED = {"html", "iframe", "write", "echo", "json", "LinkColumn", "ImageColumn", "image", "logo", "video", "audio"}
"""What shows text as something else than text, or loads what it names."""

NUMBERS = {
    *("explained", "open", "letters", "records", "id", "conflict_id", "came_back_of", "messages", "clamped", "by_s"),
    *("due_at", "stepped_at", "since_at", "opened_at", "problems", "found"),
}
"""Attributes that hold numbers and instants, whatever they are of."""

OURS = {
    *("family", "words", "role", "name", "hours", "state", "label", "replay_text", "__name__", "badge", "word"),
    *("plain", "meaning"),
}
"""Attributes that hold words of our own: of an enumeration, a stage, a time range."""

WORDS = {
    *(
        "format_duration",
        "measured",
        "ago",
        "share_within",
        "counted",
        "stage_text",
        "interval",
        "estimate_text",
        "ratio_text",
    ),
    *("waiting_letters", "len", "int", "round", "abs", "sum", "float", "bool", "count_divergences", "span"),
    *("overall", "legend", "days_text", "what_it_lacks", "why_not_drawn", "advice_for"),
}
"""Functions that answer numbers and our own words."""

METHODS = {"replace", "removesuffix", "removeprefix", "strip", "rstrip", "lower", "upper", "capitalize", "rjust"}
CONTAINERS = {"list", "tuple", "sorted", "set", "dict", "min", "max", "zip", "enumerate", "str", "reversed", "map"}


@dataclass
class Reading:
    """A module's source, and what it takes for harmless."""

    module: ModuleType
    tree: ast.Module
    escapes: set[str]
    found: list[str] = field(default_factory=list)

    def constant(self, name: str) -> bool:
        """Whether a name of the module is a word of ours, or a table of them."""
        value: Any = self.module
        for part in name.split("."):
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return _words_only(value)


def _words_only(value: Any) -> bool:
    if isinstance(value, str | int | float | None):
        return True
    if isinstance(value, Mapping):
        return all(map(_words_only, value.values())) and all(map(_words_only, value))
    return isinstance(value, list | tuple | set | frozenset) and all(map(_words_only, value))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


class Scope:
    """What the names of one function stand for."""

    def __init__(self, reading: Reading, function: ast.AST, outer: Scope | None = None) -> None:
        self.reading, self.outer = reading, outer
        self.names: dict[str, list[tuple[ast.expr, int | None]]] = {}
        self.numbers: set[str] = set()
        self.unknown: set[str] = set()
        self._under_way: set[str] = set()
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            for argument in (*function.args.args, *function.args.kwonlyargs):
                annotation = getattr(argument, "annotation", None)
                kind = ast.unparse(annotation) if annotation else ""
                known = kind in {"int", "float", "bool", "datetime", "float | None", "Mapping[str, int]"}
                (self.numbers if known else self.unknown).add(argument.arg)
        for node in own_nodes(function):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self.bind(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
                self.bind(node.target, node.value)
            elif isinstance(node, ast.For | ast.comprehension):
                self.bind(node.target, node.iter)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                self.unknown.add(node.name)
            elif isinstance(node, ast.Call) and dotted(node.func).endswith((".append", ".extend", ".insert")):
                assert isinstance(node.func, ast.Attribute)
                self.bind(node.func.value, node.args[-1])

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.names.setdefault(target.id, []).append((value, None))
        elif isinstance(target, ast.Tuple | ast.List):
            for at, each in enumerate(target.elts):
                if isinstance(each, ast.Name):
                    self.names.setdefault(each.id, []).append((value, at))

    def knows(self, name: str) -> bool:
        return name in self.names or name in self.numbers or name in self.unknown

    def safe_name(self, name: str) -> bool:
        if name in self.numbers:
            return True
        if name in self.unknown:
            return False
        if name in self.names:
            if name in self._under_way:
                return True  # of itself, as in `told += ...`
            self._under_way.add(name)
            try:
                return all(self.part_safe(value, at) for value, at in self.names[name])
            finally:
                self._under_way.discard(name)
        if self.outer is not None and self.outer.knows(name):
            return self.outer.safe_name(name)
        return self.reading.constant(name)

    def part_safe(self, value: ast.expr, at: int | None) -> bool:
        """Whether a value, or one part of every tuple in it, is harmless."""
        if at is None:
            return self.safe(value)
        if isinstance(value, ast.Call) and dotted(value.func) == "enumerate":
            return True if at == 0 else self.safe(value.args[0])
        if isinstance(value, ast.Call) and dotted(value.func) == "zip":
            return self.safe(value.args[at])
        if isinstance(value, ast.List | ast.Tuple) and value.elts:
            if all(isinstance(each, ast.Tuple) for each in value.elts):
                return all(self.safe(each.elts[at]) for each in value.elts if isinstance(each, ast.Tuple))
            return at < len(value.elts) and self.safe(value.elts[at])
        if isinstance(value, ast.BinOp):
            return self.part_safe(value.left, at) and self.part_safe(value.right, at)
        if isinstance(value, ast.Name) and value.id in self.names:
            return all(part is None and self.part_safe(each, at) for each, part in self.names[value.id])
        return self.safe(value)

    def safe(self, node: ast.expr | None) -> bool:
        match node:
            case None | ast.Constant() | ast.Compare():
                return True
            case ast.JoinedStr(values=values):
                return all(map(self.safe, values))
            case ast.FormattedValue(value=value, format_spec=spec):
                return number_format(spec) or self.safe(value)
            case ast.BinOp(left=left, right=right):
                return self.safe(left) and self.safe(right)
            case ast.BoolOp(values=values):
                return all(map(self.safe, values))
            case ast.UnaryOp(op=op, operand=operand):
                return isinstance(op, ast.Not) or self.safe(operand)
            case ast.IfExp(body=body, orelse=orelse):
                return self.safe(body) and self.safe(orelse)
            case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
                return all(map(self.safe, elts))
            case ast.Dict(values=values):
                return all(map(self.safe, values))
            case ast.Starred(value=value):
                return self.safe(value)
            case ast.ListComp(elt=elt) | ast.GeneratorExp(elt=elt) | ast.SetComp(elt=elt):
                return self.safe(elt)
            case ast.Subscript(value=value):
                return self.safe(value)
            case ast.Name(id=name):
                return self.safe_name(name)
            case ast.Attribute(value=value, attr=attr):
                if attr in NUMBERS | OURS or self.reading.constant(dotted(node)):
                    return True
                return isinstance(value, ast.Name) and self.knows(value.id) and self.safe(value)
            case ast.Call():
                return self.safe_call(node)
        return False

    def safe_call(self, node: ast.Call) -> bool:
        name = dotted(node.func)
        last = name.rpartition(".")[2]
        arguments = [*node.args, *(each.value for each in node.keywords)]
        if name in self.reading.escapes or last in WORDS or name in WORDS:
            return True
        if isinstance(node.func, ast.Attribute) and last in {*METHODS, "join"}:
            return self.safe(node.func.value) and all(map(self.safe, arguments))
        if isinstance(node.func, ast.Attribute) and last == "badged":  # of a sign, which is ours
            return all(map(self.safe, arguments))
        if isinstance(node.func, ast.Attribute) and last in {"items", "keys", "values", "get"}:
            return self.safe(node.func.value) and all(map(self.safe, node.args[1:]))
        for own in self.reading.tree.body:
            if isinstance(own, ast.FunctionDef) and own.name == name:
                inside = Scope(self.reading, own)
                returned = [each.value for each in own_nodes(own) if isinstance(each, ast.Return)]
                return bool(returned) and all(map(inside.safe, returned))
        if name == "map" and node.args:
            return dotted(node.args[0]) in self.reading.escapes | WORDS
        return name in CONTAINERS and all(map(self.safe, arguments))


def number_format(spec: ast.expr | None) -> bool:
    """Whether a format takes numbers and instants alone: text refuses it."""
    if not isinstance(spec, ast.JoinedStr):
        return False
    told = "".join(
        each.value for each in spec.values if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
    return told.endswith((*"dfge%,",)) or "%" in told or "," in told


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions in it."""
    body = function.body if isinstance(function, ast.FunctionDef | ast.Module) else [function]
    waiting: list[ast.AST] = [*body] if isinstance(body, list) else [body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node is function:
            waiting.extend(ast.iter_child_nodes(node))


def scopes(reading: Reading) -> Iterator[tuple[ast.AST, Scope]]:
    def walk(node: ast.AST, outer: Scope | None) -> Iterator[tuple[ast.AST, Scope]]:
        scope = Scope(reading, node, outer)
        for each in own_nodes(node):
            yield each, scope
            if isinstance(each, ast.FunctionDef):
                yield from walk(each, scope)
            elif isinstance(each, ast.ClassDef):
                for inner in each.body:
                    if isinstance(inner, ast.FunctionDef):
                        yield from walk(inner, scope)

    yield from walk(reading.tree, None)


def read(path: str, escapes: set[str], source: str | None = None) -> Reading:
    name = ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")
    text = (HOME / path).read_text() if source is None else source
    return Reading(module=importlib.import_module(name), tree=ast.parse(text), escapes=escapes)


def markdown_faults(reading: Reading) -> list[str]:
    """What is drawn on a page though it may come from outside."""
    faults = []
    for node, scope in scopes(reading):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        last = name.rpartition(".")[2]
        if name.startswith(("escaping.", "data.", "self.", "json.", "view.", "frame.")):
            continue
        if (name.startswith("st.") and last in BANNED) or any(
            each.arg == "unsafe_allow_html" for each in node.keywords
        ):
            faults.append(f"{node.lineno}: {name} is never used here")
        drawn: list[ast.expr] = []
        if last in MARKDOWN and ("." in name or last in {"nothing", "framed", "link"}):
            drawn += [node.args[at] for at in MARKDOWN[last] if at < len(node.args)]
            drawn += [each.value for each in node.keywords if each.arg in MARKDOWN_WORDS]
            if last == "radio":
                named = [each.value for each in node.keywords if each.arg == "format_func"]
                if not (named and dotted(named[0]) in reading.escapes):
                    faults.append(f"{node.lineno}: the options of a radio are Markdown; format_func= escapes them")
        if name == "st.code":
            for each in node.args[:1]:
                if not Scope_with(scope, {"escaping.block", "escaping.visible"}).safe(each):
                    faults.append(f"{node.lineno}: {ast.unparse(each)}")
        if last in {"page_link"}:
            drawn += [each.value for each in node.keywords if each.arg == "label"]
        faults += [f"{each.lineno}: {ast.unparse(each)}" for each in drawn if not scope.safe(each)]
    return faults


def Scope_with(scope: Scope, escapes: set[str]) -> Scope:  # noqa: N802  a scope that takes other escapes for harmless
    reading = Reading(module=scope.reading.module, tree=scope.reading.tree, escapes=escapes)
    made = Scope.__new__(Scope)
    made.__dict__.update(scope.__dict__, reading=reading)
    return made


PAGES = sorted(
    str(file.relative_to(HOME))
    for file in (HOME / "auditor" / "dashboard").rglob("*.py")
    if file.name not in {"app.py", "data.py"} and file.parent.name != "site"
)
DECLARED = {
    "auditor/dashboard/asked.py": {"label"},
    "auditor/dashboard/components.py": {"text"},
    "auditor/dashboard/header.py": {"title"},
    "auditor/dashboard/navigation.py": {"label"},
}
DECLARED["auditor/dashboard/tables.py"] = {"column"}  # named by the pages, which are our own words
"""Parameters that are checked where these functions are called, which are sinks themselves."""

TABLES = {
    "auditor/dashboard/pages/conflicts.py": 1,
    "auditor/dashboard/pages/map.py": 1,
    "auditor/dashboard/side_by_side.py": 1,
}
"""How often `st.table` is used, whose cells are Markdown: each of its cells is escaped, and tried in a browser."""

IMAGES = {
    "auditor/dashboard/sparkline.py": 1,
    "auditor/dashboard/pages/overview.py": 1,
    "auditor/dashboard/pages/sla.py": 1,
}
"""How often images are drawn: those that `look` draws, from constants and numbers alone."""


@pytest.mark.parametrize("path", PAGES)
def test_a_page_draws_nothing_from_outside_unescaped(path: str) -> None:
    faults = markdown_faults(read(path, {"escaping.markdown", "escaping.markdown_link"}))
    declared = DECLARED.get(path, set())
    images = [
        each for each in faults if each.endswith(("ImageColumn is never used here", "st.image is never used here"))
    ]
    assert len(images) == IMAGES.get(path, 0)
    assert [each for each in faults if each.partition(": ")[2] not in declared and each not in images] == []
    calls = [node for node in ast.walk(read(path, set()).tree) if isinstance(node, ast.Call)]
    drawn = [node for node in calls if dotted(node.func) == "st.table"]
    assert len(drawn) == TABLES.get(path, 0)
    frames = [node for node in calls if dotted(node.func) in {"st.dataframe", "st.data_editor"}]
    assert len(frames) == (path == "auditor/dashboard/tables.py"), "draw it with tables.table"


CHARTS = tuple(f"auditor/dashboard/{name}.py" for name in ("view", "calendar_chart", "story", "result_chart"))
CHART_WORDS = {
    "text",
    "ticktext",
    "name",
    "label",
    "title",
    "hovertemplate",
    "texttemplate",
    "customdata",
    "hovertext",
    "yaxis_title",
    "annotation_text",
}


def test_a_chart_holds_nothing_from_outside_unescaped() -> None:
    calls, drawn, faults = 0, 0, []
    for path in CHARTS:
        for node, scope in scopes(read(path, {"escaping.plotly"})):
            words: list[tuple[str | None, ast.expr]] = []
            if isinstance(node, ast.Call) and dotted(node.func).startswith(("figure.", "go.", "chart")):
                calls += 1
                words = [(each.arg, each.value) for each in node.keywords]
            elif isinstance(node, ast.Dict):
                words = [
                    (str(key.value) if isinstance(key, ast.Constant) else None, value)
                    for key, value in zip(node.keys, node.values, strict=True)
                ]
            for word, value in words:
                if word in CHART_WORDS:
                    drawn += 1
                    if not scope.safe(value):
                        faults.append(f"{path}:{value.lineno}: {ast.unparse(value)}")
    assert (calls > 20, drawn > 20) == (True, True)
    assert faults == []


def test_the_picture_of_the_map_holds_nothing_from_outside_unescaped() -> None:
    reading = read("auditor/dashboard/map_chart.py", {"escaping.echarts", "escaping.echarts_styled"})
    drawn, formatters = [], []
    for node, scope in scopes(reading):
        if isinstance(node, ast.Call) and dotted(node.func) in {"sheet.box", "sheet.text"}:
            drawn.append((node.args[2], scope))
        elif isinstance(node, ast.Dict):
            formatters += [
                ast.unparse(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
                and key.value in {"formatter", "name"}
                and isinstance(value, ast.Name)
            ]
    assert formatters == ["text", "text"]  # what `box` and `text` are given
    assert len(drawn) >= 5
    assert [f"{each.lineno}: {ast.unparse(each)}" for each, scope in drawn if not scope.safe(each)] == []


def test_a_message_to_slack_holds_nothing_from_outside_unescaped() -> None:
    reading = read("auditor/senders/slack.py", {"mrkdwn", "slack_notification", "int", "_text", "links"})
    seen, faults = 0, []
    for node, scope in scopes(reading):
        drawn: list[ast.expr] = []
        if isinstance(node, ast.Call) and dotted(node.func) == "_text":
            drawn = node.args
        elif isinstance(node, ast.Dict):
            drawn = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "text" and not isinstance(value, ast.Dict)
            ]
        for each in drawn:
            seen += 1
            if not scope.safe(each) and ast.unparse(each) not in {"text", "times", "context", "part"}:
                faults.append(f"{each.lineno}: {ast.unparse(each)}")
    assert seen >= 8
    assert faults == []


TERMINAL = {"typer.echo", "click.echo", "print", "out.print", "err.print", "sys.stderr.write", "status.update"}
TERMINAL |= {"err.status", "table.add_row", "table.add_column", "Table", "print_table"}


@pytest.mark.parametrize("path", sorted(str(each.relative_to(HOME)) for each in (HOME / "auditor/cli").glob("*.py")))
def test_the_command_line_prints_nothing_from_outside_unescaped(path: str) -> None:
    of_table = {"_text"} if path == "auditor/cli/rows.py" else set()  # what `print_table` is given
    reading = read(path, {"shown", "visible", "text_of", "escape", "Table", "block", *of_table})
    faults = []
    for node, scope in scopes(reading):
        if isinstance(node, ast.Call) and dotted(node.func) in TERMINAL:
            drawn = [*node.args, *(each.value for each in node.keywords if each.arg in {"title"})]
            faults += [f"{each.lineno}: {ast.unparse(each)}" for each in drawn if not scope.safe(each)]
    assert faults == []


@pytest.mark.parametrize(
    "line",
    [
        "st.markdown(x)",
        "st.markdown(f'**{x}**')",
        "st.error('a' + x)",
        "y = x\n    st.info(y)",
        "y = 'a'\n    y = x\n    st.info(y)",
        "st.caption(', '.join([x]))",
        "y = []\n    y.append(x)\n    st.caption(', '.join(y))",
        "st.caption(', '.join(f'{each}' for each in x))",
        "for y in x:\n        st.caption(y)",
        "for y, z in [('a', x)]:\n        st.caption(z)",
        "st.metric('a', x)",
        "st.metric('a', 1, x)",
        "st.button('a', help=x)",
        "st.columns(2)[0].markdown(x)",
        "st.radio('a', [x])",
        "st.tabs([x])",
        "st.code(x)",
        "st.code(escaping.markdown(x))",
        "st.html('a')",
        "st.write('a')",
        "st.markdown('a', unsafe_allow_html=True)",
        "st.markdown(escaping.visible(x))",
        "st.markdown(x.upper())",
        "st.markdown(x[0])",
        "st.markdown(x.whatever)",
        "st.markdown(str(x))",
        "st.markdown(f'{x:>10}')",
        "st.markdown(x if x else 'a')",
        "st.markdown(x or 'a')",
        "st.markdown(unknown(x))",
        "try:\n        pass\n    except ValueError as y:\n        st.error(y)",
        "st.column_config.TextColumn(help=x)",
        "nothing(x)",
        "navigation.link(x, 1)",
    ],
)
def test_a_page_that_forgets_to_escape_is_found(line: str) -> None:
    source = f"def page(x):\n    {line}\n"
    assert markdown_faults(read("auditor/dashboard/view.py", {"escaping.markdown"}, source)), line


@pytest.mark.parametrize(
    "line",
    [
        "st.markdown(escaping.markdown(x))",
        "st.markdown(f'**{escaping.markdown(x)}** {len(x)} {x:.1%} {x:%H:%M}')",
        "y = escaping.markdown(x)\n    st.info('a: ' + y)",
        "st.caption(', '.join(escaping.markdown(each) for each in x))",
        "st.radio('a', x, format_func=escaping.markdown)",
        "st.code(escaping.block(x))",
        "st.info(look.FAMILY[x].badge)",
    ],
)
def test_what_is_escaped_is_let_through(line: str) -> None:
    source = f"def page(x):\n    {line}\n"
    assert markdown_faults(read("auditor/dashboard/view.py", {"escaping.markdown"}, source)) == []
