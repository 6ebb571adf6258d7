"""What shows texts to people, over the whole corpus of attacks: each shows as the text that it is, and as no more."""

from __future__ import annotations

import html
import io
import logging
import re
import unicodedata
from csv import reader
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table

from auditor import escaping
from auditor.cli.options import VisibleFormatter
from auditor.cli.rows import err, out, shown
from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair_formats import write_csv
from auditor.dashboard import tables
from auditor.dashboard.log_lines import VisibleRecord
from auditor.map.diagram import svg
from auditor.map.document import markdown, mermaid
from auditor.map.loader import load_map
from auditor.senders.slack import message
from probes.record_links import filled
from tests.attacks.texts import ADDRESSES, HONEST, SHOWN
from tests.auditor.senders.receivers import NOTICE
from tests.corpus import each_of
from tests.stand import Stand

EACH = each_of(SHOWN)
JOINER = "\u2060"


def unseen(text: str) -> set[str]:
    """The characters of a text that a person cannot see, or that act on a terminal."""
    kinds = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return {each for each in text if unicodedata.category(each) in kinds or each in "\u3164\u2800\u034f\ufe00"}


def said(text: str) -> str:
    """The text as it is shown, without what only keeps its parts apart."""
    return text.replace(JOINER, "")


@EACH
def test_nothing_of_a_text_is_unseen_or_acts(text: str) -> None:
    told = escaping.visible(text)
    assert unseen(re.sub("(?<=[\u0590-\U0010ffff])\u200d(?=[\u0590-\U0010ffff])", "", told)) == set()
    assert not unseen(re.sub("\u200d", "", escaping.block(text))) - {"\n", "\t"}
    assert len(told.splitlines()) <= 1


def test_texts_that_look_alike_are_told_apart() -> None:
    alike = ["paypal", "pay\u200bpal", "pay\u200dpal", "pay\u2060pal", "pay\u3164pal", "pay\ufe00pal", " paypal"]
    assert len({escaping.visible(each) for each in alike}) == len(alike)


@pytest.mark.parametrize("text", ["می\u200cخواهم", "क्\u200dष", "👩\u200d👧", "❤\ufe0f\u200d🔥", "e\u0301", "Müller"])
def test_writing_and_emoji_keep_what_they_need(text: str) -> None:
    assert escaping.visible(text) == text


GITHUB = re.compile(r"https?://|www\.|[\w.+-]@\w|(?<!\w)@\w|#\d|:[\w+-]+:", re.IGNORECASE)
"""What GitHub makes alive in a text after its Markdown was parsed."""


@pytest.mark.parametrize("place", ["{}", "### {}", "| a | b |\n|---|---|\n| {} | x |", "It is **{}**, and so on."])
@EACH
def test_a_document_shows_it_as_text(text: str, place: str) -> None:
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(place.format(escaping.document(text)))
    inline = [each for token in parsed for each in token.children or ()]
    alive = {each.type for each in inline} - {"text", "strong_open", "strong_close", "text_special"}
    assert alive == set()
    blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in parsed}
    assert blocks <= {"paragraph", "inline", "heading", "table", "thead", "tbody", "tr", "th", "td"}
    read = "".join(each.content for each in inline)
    assert GITHUB.search(read) is None
    assert escaping.visible(" ".join(text.split())) in said(read)


@EACH
def test_a_diagram_shows_it_as_text(text: str) -> None:
    told = escaping.mermaid(text)
    assert not set(told) & set("\"'`<>[]{}|%&:;\\\n$*~!@^=?") - {";"}
    read = re.sub("#([0-9]+);", lambda found: chr(int(found[1])), told)
    assert read == escaping.visible(" ".join(text.split()))


@EACH
def test_a_picture_shows_it_as_text(text: str) -> None:
    read = ElementTree.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg"><text>{escaping.svg(text)}</text></svg>')
    assert len(list(read.iter())) == 2
    assert read[0].text in {escaping.visible(text), None if not text else ""}


@EACH
def test_a_chart_shows_it_as_text(text: str) -> None:
    assert said(html.unescape(escaping.plotly(text))) == said(escaping.visible(text))
    assert not re.search("[<>]", escaping.plotly(text))
    assert re.search(r"%\{", escaping.plotly(text)) is None
    assert re.search(r"\{[\w@]", escaping.echarts(text)) is None
    assert said(escaping.echarts(text)) == said(escaping.visible(text))
    styled = escaping.echarts_styled("name", text)
    assert re.search(r"\{[a-z@]\w*\}", styled) is None
    read = re.sub(r"\{([a-zA-Z0-9_]+)\|([^}]*)\}", r"\2", styled)  # as ECharts reads it
    assert said(read) == said(escaping.visible(text))


SLACK = re.compile(
    r"[<>]|&(?!(?:amp|lt|gt);)|(?<!\w)[*_~`]|[*_~`](?!\w)|:[\w+-]+:|[@#]\w|://|\w\.[^\W\d_]|\n|^&gt;", re.MULTILINE
)
"""What Slack's mrkdwn makes alive, as its documents describe it."""

SLACK_VERBATIM = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)|(?<!\w)[*_~`]|[*_~`](?!\w)|:[\w+-]+:|\n|^&gt;", re.MULTILINE)
"""The same in a verbatim text, outside inline code."""


def own_words(told: str) -> str:
    """What stands in a message besides texts from outside, taken away."""
    told = re.sub(
        r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|[^>]*>|^:\w+:  \*[A-Z]+ · [A-Z]+\*  |^\*[\w ]+\*(\n|  )",
        "",
        told,
    )
    return re.sub("&(amp|lt|gt);", "·", re.sub("`[^`]+`", "·", told))


@EACH
def test_slack_shows_it_as_text(text: str) -> None:
    names = ("summary", "team", "detail", "source", "target", "flow", "runbook")
    sent = message({**NOTICE, **dict.fromkeys(names, text)}, dashboard="http://127.0.0.1:8501", possible_repeat=False)
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)
    found: list[str] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "mrkdwn":
                assert part["verbatim"] is True
                found.append(part["text"])
            if part.get("type") == "button":
                assert re.fullmatch(r"http://127\.0\.0\.1:8501/[!-~]+|https?://[!-~]+", part["url"]), part["url"]
                assert part["text"]["type"] == "plain_text"
            for each in part.values():
                walk(each)
        elif isinstance(part, list):
            for each in part:
                walk(each)

    walk(sent)
    assert len(found) >= (6 if text else 4)
    assert SLACK.search(own_words(sent["text"])) is None, sent["text"]
    for told in found:
        assert SLACK_VERBATIM.search(own_words(told)) is None, told
    for told in [*found, sent["text"]]:
        assert not unseen(told.replace(JOINER, "").replace("\u200d", "").replace("\n", ""))


@EACH
def test_a_terminal_shows_it_as_text(text: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=20_000, emoji=False)
    table = Table()
    table.add_column(shown("name"))
    table.add_row(shown(text))
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    rest = re.sub(r"\x1b\[[0-9;]*m", "", written)  # the table's own
    assert unseen(re.sub("\u200d", "", rest)) <= {"\n"}
    assert len(rest.splitlines()) == 5
    assert escaping.visible(text) in rest


def test_the_consoles_of_the_command_line_make_nothing_of_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    for console in (out, err):
        console.print(shown(":tada: [bold]x[/] [link=http://evil.example]y[/link]"))
    printed = capsys.readouterr()
    for told in (printed.out, printed.err):
        assert ":tada: [bold]x[/] [link=http://evil.example]y[/link]" in told


@EACH
def test_a_log_holds_it_on_one_line(text: str) -> None:
    for record in (
        logging.LogRecord("x", logging.ERROR, "x", 1, "told: %s", (text,), None),
        VisibleRecord("x", logging.ERROR, "x", 1, "told: %s", (text,), None),
    ):
        for formatter in (VisibleFormatter("%(message)s"), logging.Formatter("%(message)s")):
            if isinstance(record, VisibleRecord) or isinstance(formatter, VisibleFormatter):
                line = formatter.format(record)
                assert len(line.splitlines()) == 1
                assert not unseen(line.replace("\u200d", ""))


@EACH
def test_a_logged_exception_acts_on_nothing(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = VisibleRecord("x", logging.ERROR, "x", 1, "failed", (), told)
    written = logging.Formatter("%(asctime)s %(message)s").format(record)
    assert not unseen(written.replace("\u200d", "")) - {"\n", "\t"}
    assert not [line for line in written.split("\n")[1:] if re.match(r"\d{4}-", line)]


@pytest.mark.parametrize(("logger", "lines"), [("azure.servicebus", 1), ("pika", 1), ("auditor.daemon", 4)])
def test_only_a_fault_of_ours_is_logged_with_a_traceback(logger: str, lines: int) -> None:
    try:
        raise ValueError("invalid frame type: 115")
    except ValueError as error:
        raised = (type(error), error, error.__traceback__)
    record = logging.LogRecord(logger, logging.WARNING, "x", 1, "tries again in %d s", (3,), raised)
    written = VisibleFormatter("%(message)s").format(record)
    assert len(written.splitlines()) >= lines
    assert (lines > 1) == ("Traceback" in written)
    assert "tries again in 3 s" in written
    assert "ValueError: invalid frame type: 115" in written


def calculated(cell: str) -> bool:
    """Whether a spreadsheet may calculate a cell, once it has taken away what nobody sees."""
    bare = "".join(each for each in cell if unicodedata.category(each) not in {"Cc", "Cf", "Zs"})
    return bare[:1] in {*"=+-@\uff1d\uff0b\uff0d\uff20"} and not re.fullmatch(
        r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", cell
    )


@EACH
def test_a_spreadsheet_calculates_nothing_of_it(text: str) -> None:
    proposal = Proposal(
        flow=text,
        data_type=text,
        key=text,
        cause=text,
        action="update",
        system=text,
        collection=text,
        changes={text: text},
        guard={text: text},
        why=text,
        warnings=(text,),
    )
    written = [write_csv([proposal])]
    if "\ud800" <= max(text, default="") <= "\udfff" or "\r" in text:
        pass  # a frame's file replaces half characters, which no file holds
    else:
        written.append(tables.csv(pd.DataFrame({text or "x": [text, "-1.5", 2]})).decode())
    for document in written:
        for row in reader(io.StringIO(document, newline="")):
            assert not [cell for cell in row if calculated(cell)]


@pytest.mark.parametrize("number", ["0", "-1", "+1", "-12.50", "1e6", "+1E-6", "007"])
def test_a_number_stays_a_number(number: str) -> None:
    assert escaping.spreadsheet(number) == number


@each_of(HONEST)
def test_an_honest_text_is_written_as_it_is(text: str) -> None:
    assert escaping.spreadsheet(text) == text


def hostile_map(text: str, place: Any) -> Any:
    """A map all of whose names and words for people are this text."""
    stand = Stand(place)
    word = "'" + text.replace("'", "''").replace("$", "$$") + "'"
    stand.remap(
        "    every: 1s\n", f"    every: 1s\n    team: {word}\n    description: {word}\n    side_effects: [{word}]\n"
    )
    stand.remap(
        "    key_type: integer\n",
        f"    key_type: integer\n    description: {word}\n"
        f"    consumers: [{{name: {word}, role: automation, reads: billing}}]\n",
    )
    loaded = load_map(stand.map_file)
    stand.close()
    return loaded


NAMES = ["markup: HTML image", "markup: link", "markup: image", "diagram: end of a label", "diagram: directive"]


@pytest.mark.parametrize("name", NAMES)
def test_the_map_as_document_diagram_and_picture_is_dead(name: str, tmp_path: Any) -> None:
    loaded = hostile_map(SHOWN[name], tmp_path)
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown(loaded))
    kinds = {each.type for token in parsed for each in token.children or ()}
    assert not kinds & {"link_open", "image", "html_inline", "code_inline", "em_open"}
    assert "html_block" not in {token.type for token in parsed}
    assert len([token for token in parsed if token.type == "fence"]) == 1
    drawn = mermaid(loaded)
    assert not re.search(r"%%|evil\.example\W*onerror|<(?!br/>|-->)[a-z]", drawn)
    picture = ElementTree.fromstring(svg(loaded))
    assert {each.tag.rpartition("}")[2] for each in picture.iter()} <= {
        *("svg", "g", "rect", "text", "path", "title", "style", "defs", "marker")
    }


@pytest.mark.parametrize("key", [*ADDRESSES.values(), "a/b", "a b", "é", "?", "#", ".", "\ud800"])
def test_a_key_stays_within_its_part_of_an_address(key: str) -> None:
    for template in ("https://crm.example/c/{key}", "https://crm.example/?id={key}#top"):
        made = filled(template, {"key": key})
        if key in {".", ".."}:
            assert made is None
            continue
        assert made is not None
        head, _, tail = template.partition("{key}")
        part = made.removeprefix(head).removesuffix(tail)
        assert re.fullmatch(r"[A-Za-z0-9._~%-]*", part)
        assert part not in {".", ".."}
