"""Text from outside shows as that text on every medium: on every page in a real browser, and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from csv import reader
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from auditor import escaping
from auditor.dashboard import navigation
from auditor.dashboard.tables import csv, meant_by
from auditor.desk.shelf import Shelf
from auditor.escaping import visible
from tests import HOME
from tests.attacks.texts import CHAT, DIAGRAMS, MARKUP, TERMINAL
from tests.auditor.dashboard.page_runs import read_queue
from tests.auditor.screens import chromium, click_cell, served
from tests.stand import Stand

HOSTILE = (
    "![i](http://evil.example/i.png) [l](http://evil.example/l) http://evil.example/b www.evil.example "
    "m@evil.example :red[x] $a^2$ $$b$$ :material/delete: :material_add: :streamlit: :tada: "
    "<img src=http://evil.example/h.png> *s* **t** _u_ ~~v~~ `c` a -> b <- -- >= &amp; &#42; [^1] \\* ::x:: "
    ":color[y]{foreground=red} | 12:30:05"
)
MARKUP_NAME = "![i](http://evil.example/i.png) :red[x] <b>b</b>"
ALONE = [
    *("# h", "- i", "- [ ] i", "+ i", "1. i", "1) i", "> q", "---", "===", "```", "```\nx\n```", "    code", "| a |"),
    *("| a | b |\n|--|--|\n| c | d |", "[x]: http://evil.example", "![i](http://evil.example/i.png)", "<b>b</b>"),
    *("https://evil.example/a?b=c", "www.evil.example", "WWW.EVIL.EXAMPLE", "ftp://evil.example", "a@b.example"),
    *("mailto:a@b.example", "xmpp:a@b.c/d", "a.b+c@evil.example", "<http://evil.example>", ":red[x]", ":help[x]"),
    *(":material/delete:", ":material_delete:", ":streamlit:", ":tada:", ":+1:", "::x::", "12:30:05", "$x$", "$$x$$"),
    *("$5 and $6$", "->", "--", "<->", "a:-> <- <-> -- >= <= ~=", "a -> b", "x=>y", "*i* **b** _i_ __b__ ~~d~~ ~d~"),
    *(
        "`c` ``d``",
        "\\*",
        "\\",
        "&amp;&lt;&#42;",
        "[^1]",
        "!",
        " ",
        "  two  ",
        "a_b _c_",
        "\u202egnp.exe",
        "\x00\x1b[31m",
    ),
    *("\ud800", "\u2028x", "one\n\n# two\n- three\n\n    four"),
]
"""What means something to a Markdown that Streamlit knows, most of it only at the beginning of a text."""

MULTILINE = "one\n\n# two\n- three\n\n    four"

ALIVE = """main => [...main.querySelectorAll(
        'a:not([href^="#"]):not([data-testid=stPageLink-NavLink]), img, .katex, em, del, blockquote, ol, ul, hr, '
        + '[data-testid=stMarkdownContainer] code, [role=img][translate=no]')]
    .filter(each => each.closest('[data-testid=stMarkdownContainer], [data-testid=stTable]'))
    .filter(each => each.tagName !== 'CODE' || ['c', 'd', 'x'].includes(each.textContent))
    .map(each => each.outerHTML.slice(0, 200))"""

FOREIGN = """() => [...document.querySelectorAll('*')].flatMap(each =>
    [...each.attributes].filter(({name, value}) =>
        /^(href|src|srcset|action|formaction|poster|data|xlink:href|background|ping|cite|style)$/.test(name)
        && (/evil|javascript:/i.test(value) && !value.startsWith(location.origin) && !value.startsWith('/'))
        || /^on/.test(name))
    .map(({name, value}) => `${each.tagName} ${name}=${value}`))
    .concat([...document.querySelectorAll('script, iframe, object, embed, meta[http-equiv]')]
        .filter(each => /evil|alert\\(1\\)/.test(each.outerHTML)).map(each => each.outerHTML.slice(0, 200)))"""
"""Whatever in the whole document leads or loads from elsewhere, or runs what came in a text."""

OTHER_ELEMENTS = """
import json, sys
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from auditor import escaping
from auditor.dashboard import tables

texts = json.loads(open(sys.argv[1]).read())
for at, text in enumerate(texts):
    told = escaping.markdown(text)
    with st.container(key=f"text-{at}"):
        st.markdown(told)
        st.button(told, key=f"button-{at}", help=told)
        st.table(pd.DataFrame({told: [told]}))
text = texts[0]
told = escaping.markdown(text)
st.toast(told)
with st.spinner(told):
    for at, tab in enumerate(st.tabs([told, "other"])):
        tab.caption(told)
    with st.expander(told):
        st.success(told)
    st.selectbox(told, [text, "other"], help=told, placeholder=text)
    st.multiselect(told, [text, "other"], default=[text], help=told)
    st.text_input(told, value=text, help=told, placeholder=text)
    st.text_area(told, value=text, help=told)
    st.checkbox(told, help=told)
    st.link_button(told, "http://127.0.0.1:1/")
    st.download_button(told, "x", "x.csv", help=told)
    st.segmented_control(told, ["a"], help=told)
    st.metric("a", "b", help=told)
    st.code(escaping.block(text), language=None)
    frame = pd.DataFrame({escaping.visible(text): [text], "more": [[text]]})
    tables.table(frame, alt=text, key="frame", column_config={"more": st.column_config.ListColumn(help=told)})
    drawn = escaping.plotly(text)
    figure = go.Figure(go.Bar(x=[1], y=[drawn], name=drawn, orientation="h", customdata=[drawn],
        hovertemplate="%{customdata}"))
    figure.add_annotation(x=1, y=0, text=drawn)
    figure.update_layout(xaxis_title=drawn, showlegend=True)
    st.plotly_chart(figure, key="figure", alt=text)
    st.echarts_chart({"series": [{"type": "graph", "layout": "none", "data": [{"name": text, "x": 1, "y": 1,
        "label": {"show": True, "formatter": escaping.echarts(text)}}]}]}, key="graph", alt=text)
st.header("the end")
"""

ELEMENTS = """
import json, sys
import pandas as pd
import streamlit as st
from auditor.escaping import markdown, marked, visible

for at, text in enumerate(json.loads(open(sys.argv[1]).read())):
    told, shown = markdown(text), visible(text)
    with st.container(key=f"text-{at}"):
        for part in range(2, 5):
            start = len(shown) // part
            end = start + len(shown) // 3
            if not shown[start:end].isspace():
                st.markdown(marked(shown, start, end))
        for draw in (st.markdown, st.caption, st.error, st.warning, st.info, st.subheader):
            draw(told)
        st.metric(told, told, told)
        st.button(told, key=f"button-{at}")
        st.radio(told, [told, "other"], key=f"radio-{at}", captions=[told, ""])
        st.table(pd.DataFrame({told: [told]}, index=[told]))
        st.markdown(f"**{told}**")
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, and nothing else", "plain, and nothing else"),
        ("a\tb\r\n\x00\x7f", "a␉b␍␊␀␡"),
        ("\u202eabc\u2066", "⟨U+202E⟩abc⟨U+2066⟩"),
        ("\ud800", "⟨U+D800⟩"),
        (" Ada  L ", "␣Ada␣␣L␣"),
        ("👩\u200d👧 e\u0301", "👩\u200d👧 e\u0301"),
    ],
)
def test_what_nobody_could_see_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text("a~! \t"))
def test_blanks_are_signs_at_the_ends_and_beside_others_alone(text: str) -> None:
    before = f"\n{text}\n"
    expected = "".join(
        "␣" if each == " " and {" ", "\n"} & {before[at - 1], before[at + 1]} else each.replace("\t", "␉")
        for at, each in enumerate(before)
    )
    assert visible(text) == expected.strip("\n")


@given(st.text(st.characters()))
def test_what_is_shown_can_be_sent_and_stays_one_line(text: str) -> None:
    for shown in (visible(text), escaping.markdown(text), escaping.plotly(text), escaping.button(text)):
        assert len(shown.encode().splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "start", "end", "shown"),
    [
        ("Ada Smith", 4, 9, "Ada :red-background[Smith]"),
        ("Ada L Smith", 3, 6, "Ada :red-background[L] Smith"),
        ("Ada Smith", 3, 4, "Ada:red-background[␣]Smith"),
        ("a[b", 1, 2, r"a:red-background[\[]b"),
        ("a:b", 2, 3, r"a\::color[]:red-background[b]"),
    ],
)
def test_a_part_of_a_text_is_marked_and_all_of_it_stays_text(text: str, start: int, end: int, shown: str) -> None:
    assert escaping.marked(text, start, end) == shown


def test_a_link_leads_to_a_web_address_or_is_no_link() -> None:
    link = escaping.markdown_link
    assert link("c*rm", "https://crm.example/a(b)/c?x=1&copy;=2") == (
        "[c\\*rm](<https://crm.example/a(b)/c?x=1&amp;copy;=2>)"
    )
    for address in ("javascript:alert(1)", "//evil.example", "https://x.example/>[i](x)", "https://x.example/\n", ""):
        assert link("c*rm", address) == "c\\*rm"


def test_plotly_gets_no_html_and_echarts_no_template() -> None:
    assert escaping.plotly('<a href="http://e">&</a>') == '&lt;a href="http://e"&gt;&amp;&lt;/a&gt;'
    assert "{b}" not in escaping.echarts("{b}")
    assert escaping.echarts("{b}").replace("\u2060", "") == "{b}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-12.50", "-12.50"),
        ("+1e6", "+1e6"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_spreadsheet_calculates_nothing_that_came_from_a_system(text: str, told: str) -> None:
    assert escaping.spreadsheet(text) == told
    frame = pd.DataFrame({"=x": [text, None], "count": [-3, 4]})
    rows = list(reader(csv(frame).decode().splitlines()))
    assert rows == [["'=x", "count"], [told, "-3"], ["", "4"]]


@pytest.mark.parametrize("label", [":material/delete: x", '["a", "b"]', "[x]"])
def test_a_button_in_a_table_is_neither_an_icon_nor_a_menu(label: str) -> None:
    made = escaping.button(label)
    assert made.strip()[0] not in ":["
    assert made.replace("\u2060", "") == label


@pytest.mark.parametrize(
    ("row", "label", "labels", "meant", "found"),
    [
        (1, "b", ["a", "b", "c"], [1, 2, 3], 2),
        (1, "b", ["x", "a", "b"], [9, 1, 2], 2),  # a row came in above
        (1, "b", ["b", "b"], [2, 2], 2),
        (1, "b", ["b", "b"], [1, 2], 2),
        (0, "b", ["a", "b", "b"], [0, 1, 2], None),  # moved, and which one it was nobody can tell
        (7, "b", ["a"], [1], None),
    ],
)
def test_a_click_means_the_row_that_it_names(
    row: int, label: str, labels: list[str], meant: list[int], found: int | None
) -> None:
    assert meant_by(row, label, labels, meant) == found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over systems, a map and people all of whose words are hostile."""
    place = tmp_path_factory.mktemp("hostile")
    stand = Stand(place)
    stand.clock.advance(-1.1)
    for system in ("crm", "billing"):
        with stand.open(system) as database:
            database.executescript(
                "DROP TABLE customers; CREATE TABLE customers (id text, name text, amount text, updated_at text);"
                "CREATE INDEX i ON customers (id); CREATE INDEX u ON customers (updated_at);"
                "DROP TABLE letters; CREATE TABLE letters (id integer, record text, failed_at text, error text);"
            )
    name = "'" + HOSTILE.replace("'", "''") + "'"
    quoted = name.replace("$", "$$")
    consumers = (
        f"consumers: [{{name: {quoted}, role: automation, reads: billing}}, {{name: s, role: team, reads: crm}}]"
    )
    stand.remap("    key_type: integer\n", f"    key_type: string\n    {consumers}\n")
    stand.remap("      name: {type: string, evidence: clear}", f"      {name}: {{type: string, evidence: clear}}")
    for system in ("crm", "billing"):
        stand.remap(
            f"{system}: {{collection: customers, key: id",
            f"{system}: {{collection: customers, key: id, fields: {{{name}: name}}",
        )
    stand.remap("    every: 1s\n", f"    every: 1s\n    team: {quoted}\n    side_effects: [{quoted}]\n")
    broken = f"      broken: {{kind: sql_queue, system: billing, table: {quoted}}}\n"
    stand.remap("    queues:\n", f"    queues:\n{broken}")
    keys = [HOSTILE, *ALONE[:4], "plain"]
    for key in keys:
        for system in ("crm", "billing"):
            with stand.open(system) as database:
                database.execute("INSERT INTO customers VALUES (?, 'Ada', '1.00', '2026-01-01 00:00:00')", (key,))
    stand.sweep()
    for key, value in [(key, HOSTILE) for key in keys[:-1]] + [("plain", MULTILINE)]:
        with stand.open("billing") as database:
            database.execute("UPDATE customers SET name = ? WHERE id = ?", (value, key))
    with stand.open("billing") as database:
        database.execute("INSERT INTO customers VALUES (?, 'Ada', '1.00', '2026-01-01 00:00:00')", (HOSTILE,))
        database.execute("INSERT INTO letters VALUES (1, ?, '2026-03-01 00:00:00', ?)", (HOSTILE, HOSTILE))
    stand.sweep()
    stand.sweep()
    stand.clock.advance(1.1)
    stand.sweep()
    read_queue(stand)
    read_queue(stand, "broken")
    Shelf(stand.ledger, who="<b>a</b>", known_by="test", check=lambda _: None).save(MARKUP_NAME, HOSTILE, HOSTILE)
    settings = {
        "AUDITOR_MAP": str(stand.map_file),
        "AUDITOR_DATA": str(place / "var"),
        "AUDITOR_LEDGER": stand.ledger_url,
        "AUDITOR_USER": HOSTILE,
    }
    with served([str(HOME / "app.py")], settings) as address:
        yield address
    stand.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        made = browser.new_page(viewport={"width": 3000, "height": 3000})
        outside: list[str] = []
        made.on("request", lambda request: None if _inside(request.url) else outside.append(request.url))
        made.on("websocket", lambda opened: None if _inside(opened.url) else outside.append(opened.url))
        made.on("dialog", lambda dialog: outside.append(dialog.message))
        yield made
        assert outside == []


def _inside(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:"))


def opened(page: Page, address: str, heading: str, expected: str, times: int = 1) -> None:
    """Open a page and wait until it shows the text that often; nothing in it may be alive."""
    page.goto(address)
    page.get_by_role("heading", name=heading, exact=True).wait_for(timeout=60_000)
    page.wait_for_function(
        "([text, times]) => document.querySelector('[data-testid=stMain]').textContent.split(text).length > times",
        arg=[expected, times],
        timeout=90_000,
    )
    main = page.locator("[data-testid=stMain]")
    expect(main.get_by_text("could not be drawn")).to_have_count(0)
    assert main.evaluate(ALIVE) == []
    assert page.evaluate(FOREIGN) == []


@pytest.mark.timeout(600)
def test_every_element_shows_the_whole_corpus_as_it_is(page: Page, tmp_path: Path) -> None:
    script, file = tmp_path / "elements.py", tmp_path / "texts.json"
    script.write_text(OTHER_ELEMENTS)
    texts = [HOSTILE, *(text for text in (*MARKUP.values(), *CHAT.values(), *TERMINAL.values(), *DIAGRAMS.values()))]
    file.write_text(json.dumps(texts))
    with served([str(script), str(file)], {"PYTHONPATH": str(HOME)}) as address:
        page.goto(address)
        page.get_by_role("heading", name="the end").wait_for(timeout=300_000)
        page.locator("[data-testid=stDataFrame]").wait_for(timeout=60_000)
        page.locator("[data-testid=stPlotlyChart] svg.main-svg").first.wait_for(timeout=60_000)
        expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=60_000)
        for at, text in enumerate(texts):
            box = page.locator(f".st-key-text-{at}")
            held = "[data-testid=stMarkdownContainer], th, td"
            shown = box.evaluate(f"box => [...box.querySelectorAll('{held}')].map(each => each.textContent)")
            found = [each for each in shown if each.strip("\xa0") and each != "0"]
            assert set(found) == {visible(text)}, text
            assert len(found) >= 4, text
            assert box.evaluate(ALIVE) == [], text
        assert page.evaluate(FOREIGN) == []
        drawn = page.locator("[data-testid=stPlotlyChart]").evaluate(
            "chart => [...chart.querySelectorAll('text')].filter(each => each.querySelector('a, tspan[style*=bold]'))"
            ".map(each => each.outerHTML)"
        )
        assert drawn == []
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map(each => each.href)")
        assert {each for each in links if not each.startswith(address)} == {"http://127.0.0.1:1/"}


@pytest.mark.timeout(300)
def test_markdown_shows_any_text_as_it_is_in_every_element(page: Page, tmp_path: Path) -> None:
    script, texts = tmp_path / "elements.py", tmp_path / "texts.json"
    script.write_text(ELEMENTS)
    texts.write_text(json.dumps([HOSTILE, *ALONE]))
    with served([str(script), str(texts)], {"PYTHONPATH": str(HOME)}) as address:
        page.goto(address)
        last = page.locator(f".st-key-text-{len(ALONE)} [data-testid=stTable]")
        last.wait_for(timeout=120_000)
        expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=60_000)
        for at, text in enumerate([HOSTILE, *ALONE]):
            box = page.locator(f".st-key-text-{at}")
            held = "[data-testid=stMarkdownContainer], [data-testid=stCaptionContainer], h3, th, td"
            shown = box.evaluate(f"box => [...box.querySelectorAll('{held}')].map(each => each.textContent)")
            assert {each for each in shown if each.strip("\xa0")} - {"other"} == {visible(text)}, text
            assert len([each for each in shown if each == visible(text)]) >= 16, text
            assert box.evaluate(ALIVE) == [], text


@pytest.mark.timeout(300)
def test_the_record_page_shows_values_keys_and_fields_as_they_are(hostile: str, page: Page) -> None:
    for key in [HOSTILE, ALONE[0]]:
        shown = f"customer {visible(key.strip())}"
        opened(page, f"{hostile}/record?type=customer&key={quote(key)}", "Record", shown)
    plain = f"{hostile}/record?type=customer&key=plain"
    opened(page, plain, "Record", visible(MULTILINE))
    opened(page, plain, "Record", visible(HOSTILE), 2)  # the field's name, and who reads it


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("path", "heading", "times"),
    [
        ("", "Overview", 1),
        ("drift", "Drift", 3),
        ("conflicts", "Conflicts", 1),
        ("conflicts?conflict=1", "Conflicts", 3),
        ("conflicts?conflict=" + quote(HOSTILE), "Conflicts", 1),
        ("dead-letters", "Dead letters", 3),
        ("sla", "SLA breaches", 1),
        ("map", "Map", 2),
        ("configuration", "Configuration", 0),
        ("lag", "Lag", 0),
        ("query", "Query", 0),
        ("query?saved=1", "Query", 1),
        ("query?sql=" + quote(f"SELECT '{HOSTILE}' \u202e"), "Query", 1),
    ],
)
def test_every_page_shows_hostile_text_as_text(hostile: str, page: Page, path: str, heading: str, times: int) -> None:
    opened(page, f"{hostile}/{path}", heading, visible(HOSTILE), times)


WORDS_OF_ADDRESSES = [
    *("type", "key", "flow", "cause", "state", "search", "page", "range", "refresh", "conflict", "all", "lagflow"),
    *("embed", "embed_options", "who", "example", "team", "severity", "id", "show", "sql", "saved"),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "text", [HOSTILE, "<img src=http://evil.example/i.png>", "[x](javascript:alert(1))", "-1", ""]
)
def test_no_word_of_an_address_is_alive_on_any_page(hostile: str, page: Page, text: str) -> None:
    asked = "&".join(f"{word}={quote(text)}" for word in WORDS_OF_ADDRESSES)
    for name, title in navigation.PAGES.items():
        page.goto(f"{hostile}/{name}?{asked}")
        page.get_by_role("heading", name=title, exact=True).wait_for(timeout=90_000)
        expect(page.locator("[data-testid=stMain]").get_by_text("could not be drawn")).to_have_count(0)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        assert page.locator("[data-testid=stMain]").evaluate(ALIVE) == []
        assert page.evaluate(FOREIGN) == []


@pytest.mark.timeout(300)
def test_the_opened_letter_stays_the_same_when_others_come_in(stand: Stand, page: Page) -> None:
    stand.agree(3)
    stand.run("billing", "INSERT INTO letters VALUES (1, 1, '2026-03-01 00:00:00', 'first')")
    read_queue(stand)
    settings = {
        "AUDITOR_MAP": str(stand.map_file),
        "AUDITOR_DATA": str(stand.place / "var"),
        "AUDITOR_LEDGER": stand.ledger_url,
    }
    with served([str(HOME / "app.py")], settings) as address:
        page.goto(f"{address}/dead-letters?refresh=2+s")
        named = page.get_by_text("Letter 1, message id")
        click_cell(page, "Dead letters with their record", row=0, until=named)
        stand.run("billing", "INSERT INTO letters VALUES (2, 2, '2026-03-02 00:00:00', 'second')")
        read_queue(stand)
        expect(page.get_by_text("the 2 messages")).to_be_visible(timeout=60_000)
        expect(named).to_be_visible()
        second = page.get_by_text("Letter 2, message id")
        click_cell(page, "Dead letters with their record", row=0, until=second)  # the latest stands first
        expect(named).to_have_count(0)
