"""The demo: playing a scenario, and waiting for what a person has to decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import patch

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from auditor.dashboard import look, navigation
from auditor.dashboard.data import Data
from auditor.dashboard.installations import forget
from auditor.escaping import markdown
from auditor.scenarios import Stage
from auditor.senders.slack import message
from demo.company import Company
from demo.scenarios import SCENARIOS
from tests.auditor.conflicts.test_decisions import OPEN
from tests.auditor.dashboard.page_runs import button, links, local, run, signs, table_with, text
from tests.auditor.senders.receivers import NOTICE
from tests.auditor.test_scenarios import performing
from tests.demo.test_company import company
from tests.stand import Stand
from tests.waiting import wait_until

__all__ = ["company"]


def test_demo_waits_for_the_conflict_that_has_to_be_decided(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        app = local("demo")
        next(each for each in app.button if each.key == "break-two-teams").click().run()
        assert "Wait until the auditor has found the conflict" in text(app)
        assert not [each for each in app.button if "end it" in each.label]
        came_up = replace(OPEN, opened_at=datetime.now(UTC))
        with (
            patch.object(Data, "conflicts", lambda self, live_only: [came_up]),
            patch.object(Data, "decide_waiting", autospec=True) as decided,
        ):
            app.run()
            next(each for each in app.button if each.label == "Decide for crm and mend it").click().run()
        assert not app.exception
        assert decided.call_args.args[2] == "crm"
        while Stage(address).programme().playing is not None:
            pass


def test_demo_plays_a_scenario_and_shows_what_the_auditor_makes_of_it(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`auditor demo` starts one that does" in text(run("demo"))
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        assert "You can look on and not play." in text(run("demo"))
        app = local("demo")
        assert not app.exception
        assert "everything agrees" in text(app)
        buttons = {each.key: each for each in app.button}
        assert {f"break-{name}" for name in SCENARIOS} < buttons.keys()
        buttons["break-unreachable-crm"].click().run()
        said = text(app)
        assert SCENARIOS["unreachable-crm"].situation in said
        assert f"It is mended by itself after 60 s. To do: {SCENARIOS['unreachable-crm'].person}" in said
        assert all(each.disabled for each in app.button if (each.key or "").startswith(("break", "prevent")))
        next(each for each in app.button if each.label == "Mend it now").click().run()
        while Stage(address).programme().playing is not None:
            pass
        (over,) = app.run().success
        assert "is over" in over.value
        Stage(address).play("paused-consumer", held=True)
        (held,) = [each.value for each in app.run().warning if "Paused consumer" in each.value]
        assert "It stays broken until it is mended. To do:" in held
        assert "after" not in held
    assert "does not answer" in text(run("demo"))


def finish(address: str) -> None:
    """End what plays."""
    Stage(address).mend()
    wait_until(lambda: Stage(address).programme().playing is None)


def again(app: AppTest) -> AppTest:
    """The page drawn anew, with figures of this very moment."""
    forget()
    return app.run()


def one_differs(stand: Stand) -> None:
    """A record of billing differs for certain, and its incident is open."""
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    _until(stand, 1)


def heal(stand: Stand) -> None:
    """Billing agrees again, and no incident is open."""
    stand.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    _until(stand, 0)


def _until(stand: Stand, incidents: int) -> None:
    """Audit until so many incidents are open."""
    for _ in range(20):
        stand.sweep()
        if len(stand.ledger.incidents.rows(live_only=True, limit=5)) == incidents:
            return
        stand.clock.advance(1.1)
    raise AssertionError(incidents)


def test_demo_says_what_the_pattern_did_and_that_nothing_has_to_be_done(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = SCENARIOS["double-charge"]
    watched.agree(5)
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        Stage(address).play("double-charge", prevented=True, held=True)
        app = local("demo")
        (playing,) = [each.value for each in app.info if charge.title in each.value]
        assert f"{charge.pattern}: {charge.prevented} Nothing needs to be done." in playing
        assert not app.warning
        assert not [each for each in app.button if "mend" in each.label.lower()]
        assert "Not all flows have been verified since." in text(app)
        watched.sweep()
        assert "Nothing differs" in text(again(app))
        assert "The pattern works." in text(app)
        button(app, "End it now").click().run()
        wait_until(lambda: Stage(address).programme().playing is None)
        (over,) = again(app).success
        assert f"{charge.pattern}: {charge.prevented} Nothing needs to be done." in over.value
        assert charge.person not in text(app) + over.value
        assert "Incidents close" not in over.value
        assert "Not all flows have been verified since." in text(app)
        watched.sweep()
        assert "The pattern worked." in text(again(app))


def test_demo_shows_what_differs_although_it_was_prevented(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.agree(5)
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        Stage(address).play("double-charge", prevented=True, held=True)
        one_differs(watched)
        app = local("demo")
        assert table_with(app, "record")["record"].tolist() == ["3"]
        assert "The pattern" not in text(app)
        assert [each for each in links(app) if "incident 1" in each]
        finish(address)
        assert "The pattern" not in text(again(app))


def test_demo_shows_how_records_differ_and_keeps_the_incidents_of_the_scenario(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.clock.advance(-3600)
    watched.agree(5)
    one_differs(watched)
    heal(watched)
    watched.clock.advance(3600)
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        Stage(address).play("unreachable-crm", held=True)
        app = local("demo")
        assert "No incident is open." in text(app)
        assert not [each for each in links(app) if " incident " in each]
        one_differs(watched)
        again(app)
        assert table_with(app, "record")["difference"].tolist() == ["name: Ada → Eve"]
        assert signs(table_with(app, "record")["state"]) == ["● open"]
        assert [each for each in links(app) if "incident 2" in each]
        assert "No incident is open." not in text(app)
        heal(watched)
        finish(address)
        again(app)
        (link,) = [each for each in app.page_link if " incident " in each.label]
        assert "incident 2" in link.label
        assert link.query_string == "id=2"
        assert "No incident is open." in text(app)
        assert [each for each in app.caption if each.value.startswith(look.INCIDENT["resolved"].badge)]


def test_demo_shows_whole_messages_with_their_texts_as_text(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = {
        **NOTICE,
        "records": [{"key": "*7* <b>x</b>", "links": {"crm": "https://crm.example/7"}}],
        "evidence": "[click](https://evil.example) :smile: <script>",
        "advice": "Delete them in billing.",
    }
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        Stage(address).play("unreachable-crm", held=True)
        for sent in (notice, {**notice, "advice": "Do *nothing*."}):
            body = message(sent, dashboard="http://127.0.0.1:1", possible_repeat=False)
            httpx.post(f"{address}/chat", json=body, trust_env=False).raise_for_status()
        app = local("demo")
        assert not app.exception
        finish(address)
    drawn = [each.value for each in (*app.markdown, *app.caption)]
    assert drawn.count("**Worst**  \n\\*7\\* \\<b\\>x\\</b\\> [crm](<https://crm.example/7>)") == 2
    assert f"**What to do** {markdown('Do *nothing*.')}" in drawn
    assert drawn.count(f"**Why these are one** {markdown(notice['evidence'])}") == 2
    below = [each for each in drawn if "[Open](<http://127.0.0.1:1/drift?flow=to_billing>)" in each]
    assert len(below) == 2
    assert "[Runbook](<https://wiki.example/orphans>)" in below[0]
    (folded,) = app.expander
    assert "**What to do** Delete them in billing." in [each.value for each in folded.markdown]
