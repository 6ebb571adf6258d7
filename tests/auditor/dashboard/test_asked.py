"""Addresses that ask for what a page does not have: it is said, and the page is drawn without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.dashboard.installations import forget
from tests.auditor.dashboard.page_runs import app_of, button, run, text
from tests.stand import Stand


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    stand.agree(3)
    yield stand
    forget()


@pytest.mark.parametrize(
    ("page", "asked", "said"),
    [
        (
            "record",
            {"type": "custmer", "key": "3"},
            "custmer is not a data type of the map; did you mean 'customer'?",
        ),
        ("drift", {"state": "nope"}, "nope is not a state of a difference"),
        ("drift", {"flow": "to_biling"}, "did you mean 'to_billing'?"),
        ("lag", {"range": "nope"}, "nope is not a time range"),
        ("lag", {"refresh": "3 s"}, "3 s is not a refresh interval"),
        ("lag", {"refresh": ""}, "is not a refresh interval"),
        ("map", {"team": "nobody"}, "nobody is not a team of the map"),
        ("map", {"show": "nothing"}, "nothing is not a flow, system or consumer that is shown"),
        ("incidents", {"severity": "grave"}, "grave is not a severity of incidents"),
        ("lag", {"range": "[x](a)"}, r"\[x\](a) is not a time range"),
    ],
)
def test_a_value_that_is_no_option_is_said(page: str, asked: dict[str, str], said: str, watched: Stand) -> None:
    app = run(page, **asked)
    assert not app.exception
    (warning,) = [each.value for each in app.warning if each.icon == ":material/link_off:"]
    assert said in warning


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["late", "nope", "nap"], "Not a cause: nope, nap. The address of this page names them."),
        (["a_b", "b", "a_b", "", "d", "e"], "Not a cause: a b, b, an empty text and 2 more. "),
        (["foreign_wrte"], "foreign wrte is not a cause; did you mean 'foreign write'?"),
    ],
)
def test_all_unknown_values_of_a_filter_are_one_line_in_the_words_of_the_page(
    asked: list[str], said: str, watched: Stand
) -> None:
    app = run("drift", cause=asked)
    assert not app.exception
    (warning,) = [each.value for each in app.warning if each.icon == ":material/link_off:"]
    assert warning.startswith(said)


def test_filters_that_nothing_matches_are_named_in_the_words_of_the_page(watched: Stand) -> None:
    shown = text(run("drift", cause=["foreign_write", "late"], state="closed"))
    assert "No record matches: cause foreign write or late, state closed." in shown


def test_another_data_type_is_not_read_instead(watched: Stand) -> None:
    assert "The copies agree" not in text(run("record", type="nope", key="3"))
    assert "The copies agree" in text(run("record", type="customer", key="3"))


def test_an_address_without_them_has_a_time_range_and_a_refresh_interval(watched: Stand) -> None:
    app = run("lag")
    assert app.session_state["range"] == "1 h"
    assert app.session_state["refresh"] == "10 s"


def test_a_choice_is_taken_from_the_address_and_shows_how_many_there_are(watched: Stand) -> None:
    app = run("drift", cause=["late", "foreign_write"], state="closed")
    assert not app.exception
    chosen = {each.key: each for each in app.multiselect}
    assert chosen["cause"].value == ["late", "foreign_write"]
    assert chosen["state"].value == ["closed"]
    assert "foreign write (0)" in chosen["cause"].options
    chosen["cause"].set_value(["late"]).run()
    assert app.query_params["cause"] in ("late", ["late"])


def test_a_link_that_is_followed_again_shows_what_it_names() -> None:
    """Streamlit forgets what was chosen on a page as soon as another one is shown."""
    app = app_of(
        "import streamlit as st\n"
        "from auditor.dashboard import asked\n"
        "if st.toggle('there', value=True, key='there'):\n"
        "    asked.facet('Cause', 'cause', {'late': 1, 'lost': 2})\n"
    )
    app.query_params["cause"] = "late"
    app.run()
    for there in (False, True):
        app.toggle(key="there").set_value(there).run()
    assert app.multiselect(key="cause").value == ["late"]
    app.multiselect(key="cause").set_value([]).run()
    assert app.multiselect(key="cause").value == []


def test_a_choice_stays_when_its_number_changes() -> None:
    """A browser gives back the label that it shows, which may be older than what was drawn last."""
    app = app_of(
        "import streamlit as st\n"
        "from auditor.dashboard import asked\n"
        "late = st.number_input('late', value=304, key='late')\n"
        "words = lambda value: value.replace('_', ' ')\n"
        "asked.facet('Cause', 'cause', {'late': late, 'foreign_write': 2}, words)\n"
    )
    app.query_params["cause"] = ["late", "foreign_write"]
    app.run()
    app.number_input(key="late").set_value(310).run()
    app.multiselect(key="cause").set_value(["late (304)", "foreign write (2)"]).run()
    assert app.multiselect(key="cause").value == ["late", "foreign_write"]
    assert list(app.query_params["cause"]) == ["late", "foreign_write"]
    assert not app.warning


def test_a_link_to_a_flow_without_changes_is_not_answered_with_another_flow(watched: Stand) -> None:
    second = (
        "  again:\n    data_type: customer\n    from: crm\n    to: billing\n"
        "    pattern: real-time\n    window: 4s\n    every: 1s\n"
    )
    watched.map_file.write_text(watched.map_file.read_text() + second)
    watched.put("crm", 3, "Grace", ago_s=0)
    watched.audit()
    watched.put("billing", 3, "Grace")
    watched.audit()
    app = run("lag", lagflow="again")
    assert not app.exception
    assert app.selectbox(key="lagflow").value == "again"
    assert "again was not audited in the last hour" in text(app)
    assert app.get("plotly_chart") == []


def test_flows_that_no_filter_of_the_map_leaves_are_named_with_the_choice(watched: Stand) -> None:
    text_of = watched.map_file.read_text()
    order = "  order:\n    owner: crm\n    window: 4s\n    fields: {name: {type: string}}\n    in:\n"
    places = "".join(f"      {each}: {{collection: orders, key: id}}\n" for each in ("crm", "billing"))
    watched.map_file.write_text(text_of.replace("flows:\n", f"{order}{places}flows:\n"))
    app = run("map", type="order")
    assert not app.exception
    assert "No flow matches: data type order. The map has 1 flow in all." in text(app)
    button(app, "Remove the filters").click().run()
    assert app.multiselect(key="type").value == []
    assert "No flow matches" not in text(app)
