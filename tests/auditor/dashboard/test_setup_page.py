"""The Set up page: for the person who started the dashboard, from two addresses to a map and its first verdicts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from auditor.dashboard import setup_code
from auditor.dashboard.access import LOCAL, Access, Asks, Onlooker, Person
from auditor.dashboard.installations import forget
from auditor.dashboard.setup_progress import Progress
from auditor.map.loader import load_map
from auditor.setup.addresses import kinds
from auditor.setup.steps import Step
from tests import HOME, engines
from tests.auditor.dashboard.page_runs import ONLOOKER, button, links, seat, seen, table_with, text
from tests.auditor.dashboard.test_accessible import BESIDE, broken_rules
from tests.auditor.screens import chromium
from tests.auditor.setup.accounts import Accounts
from tests.auditor.setup.pair import fill
from tests.servers import free_port, wait_for_port
from tests.waiting import wait_until

SAID = re.compile(r"with the code ([A-Z0-9-]{14})")

OPERATOR = Person(name=None, known_by=LOCAL)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two systems and no map, in which the dashboard was started."""
    fill(tmp_path, alike=True)
    monkeypatch.chdir(tmp_path)
    for name in ("AUDITOR_MAP", "AUDITOR_DATA", "AUDITOR_LEDGER", "CRM_URL", "WAREHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    forget()


def begun() -> AppTest:
    """The page, once the code was entered."""
    app = seen("setup", OPERATOR)
    app.text_input[0].set_value(setup_code.CODE.lower().replace("-", " "))
    return press(app, "Begin")


def press(app: AppTest, name: str) -> AppTest:
    button(app, name).click().run()
    assert not app.exception
    return app


def field(app: AppTest, word: str, at: int, kind: str = "database") -> Any:
    """The field of a word of one of the systems."""
    return app.text_input(key=f"{word}-{kind}-{at}-{progress(app).tries}")


def enter(app: AppTest, *addresses: str) -> AppTest:
    for at, address in enumerate(addresses):
        field(app, "url", at).set_value(address)
    return press(app, "Connect and compare")


def compared(place: Path) -> AppTest:
    return enter(begun(), *(f"sqlite:///{place}/{name}.sqlite" for name in ("crm", "warehouse")))


def progress(app: AppTest) -> Progress:
    found: Progress = app.session_state["_setup"]
    return found


@pytest.mark.parametrize(
    ("asks", "why"),
    [
        (ONLOOKER, "may only look"),
        (Onlooker(why="This dashboard was started with --read-only."), "read-only"),
        (Person(name="ada", known_by="signed in"), "Only a local operator"),
    ],
)
def test_others_are_told_what_to_run(asks: Asks, why: str) -> None:
    app = seen("overview", asks)
    assert not app.exception
    assert "auditor init" in text(app)
    assert why in text(app)
    assert [*app.text_input, *app.button] == []


def test_without_a_map_any_page_leads_to_the_set_up_which_asks_for_the_code() -> None:
    app = seen("drift", OPERATOR)
    assert [each.value for each in app.title] == ["Set up"]
    app.text_input[0].set_value("AAAA-BBBB-CCCC")
    assert "This is not the code of the dashboard" in text(press(app, "Begin"))
    assert not progress(app).open


def test_the_code_is_said_where_the_dashboard_starts_if_somebody_may_set_up() -> None:
    assert setup_code.CODE in setup_code.announcement(Access(), "plumbline.yaml")
    assert "auditor init" in setup_code.announcement(Access(), "plumbline.yaml")
    for access in (Access(read_only=True), Access(user_header="x-user")):
        assert setup_code.CODE not in setup_code.announcement(access, "plumbline.yaml")
    assert setup_code.fits(setup_code.CODE)
    assert not setup_code.fits("")


def test_the_steps_lead_to_a_map_and_its_first_verdicts(place: Path) -> None:
    app = compared(place)
    assert "12 of 12 records are in both, by the key id = customer_id." in text(app)
    press(app, "Propose a map")
    assert "owner: crm" in str(app.text_area[0].value)
    press(app, "Check and try it")
    assert "Every system can be audited" in str(app.success[0].value)
    (row,) = table_with(app, "agree").to_dict("records")
    assert (row["records"], row["agree"], row["differ"]) == (12, 12, 0)
    before = sorted(each.name for each in place.iterdir())
    assert before == ["crm.sqlite", "warehouse.sqlite"]
    press(app, "Write plumbline.yaml")
    assert (place / ".env").stat().st_mode & 0o777 == 0o600
    told = text(app).replace("\\", "") + str([each.value for each in app.success]).replace("\\", "")
    assert f"CRM_URL and WAREHOUSE_URL are kept in {place}/.env, which only you may read" in told
    environment = {f"{name.upper()}_URL": f"sqlite:///{place}/{name}.sqlite" for name in ("crm", "warehouse")}
    assert [*load_map(place / "plumbline.yaml", environment).flows] == ["customer_to_warehouse"]
    assert [each.value for each in app.code] == ["auditor run"]
    press(app, "Audit once")
    (row,) = table_with(app, "verdict").to_dict("records")
    assert (row["verdict"], row["records"]) == ("consistent", 12)
    assert "consistent: every record was read" in text(app)
    assert (place / "var" / "ledger.sqlite").exists()


def test_what_cannot_be_used_is_said_without_the_password(place: Path) -> None:
    app = begun()
    assert "Source of truth: enter an address" in text(enter(app))
    field(app, "password", 0).set_value("hunter2-0123456789")
    told = text(enter(app, "postgresql://ada@127.0.0.1:1/crm", f"sqlite:///{place}/warehouse.sqlite"))
    assert "crm: unreachable" in told
    assert "hunter2" not in told
    assert progress(app).at is Step.CONNECT
    assert "hunter2" not in repr(progress(app).entered)


def test_mistakes_of_an_edited_map_stand_where_they_are(place: Path) -> None:
    app = press(compared(place), "Propose a map")
    proposed = str(app.text_area[0].value)
    app.text_area[0].set_value(proposed.replace("window: 60s", "window: soon"))
    press(app, "Check and try it")
    assert "The map has 1 mistake:" in text(app)
    found = re.match(r"plumbline\.yaml:(\d+):5 data_types\.customer\.window: ", str(app.code[0].value))
    assert found
    assert proposed.splitlines()[int(found[1]) - 1].strip().startswith("window:")
    app.text_area[0].set_value(proposed)
    press(app, "Check and try it")
    assert progress(app).at is Step.DRY_RUN
    press(app, "Back")
    assert app.text_area[0].value == proposed
    press(press(app, "Back"), "Back")
    assert field(app, "url", 0).value == f"sqlite:///{place}/crm.sqlite"


def test_a_map_that_someone_else_has_written_meanwhile_stays(place: Path) -> None:
    app = press(press(compared(place), "Propose a map"), "Check and try it")
    (place / "plumbline.yaml").write_text("mine\n")
    app.run()
    assert "a set-up never changes one" in text(app)
    assert (place / "plumbline.yaml").read_text() == "mine\n"
    assert not (place / ".env").exists()


def test_after_a_reload_the_first_audit_and_the_map_are_still_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(press(press(compared(place), "Propose a map"), "Check and try it"), "Write plumbline.yaml")
    for name in ("crm", "warehouse"):
        monkeypatch.setenv(f"{name.upper()}_URL", f"sqlite:///{place}/{name}.sqlite")
    assert "Audit once on the page Set up" in links(seen("overview", OPERATOR))
    assert links(seen("overview", ONLOOKER)) == []
    configuration = seen("configuration", ONLOOKER)
    assert [each.value for each in configuration.title] == ["Configuration"]
    assert "owner: crm" in str(configuration.code[0].value)
    assert [*seen("setup", ONLOOKER).button] == []
    again = seen("setup", OPERATOR)
    assert "nothing has been audited yet" in text(again)
    assert [each.value for each in press(again, "Audit once").code] == ["auditor run"]
    (row,) = table_with(again, "verdict").to_dict("records")
    assert (row["verdict"], row["records"]) == ("consistent", 12)
    assert [*seen("setup", OPERATOR).button] == []


def test_both_systems_that_cannot_be_used_are_told_and_not_of_another_kind(place: Path) -> None:
    app = enter(begun(), "https://app.hubspot.com", "oracle://h/x")
    assert [str(each.value).partition(":")[0] for each in app.error] == ["Source of truth", "System with the copies"]
    choose(app, 0, "hubspot")
    assert [str(each.value).partition(":")[0] for each in app.error] == ["System with the copies"]
    choose(app, 0, "database")
    enter(app, "", f"sqlite:///{place}/none/none.sqlite")
    assert [str(each.value).partition(":")[0] for each in app.error] == ["Source of truth", "System with the copies"]


def test_a_person_may_set_the_variables_themselves(place: Path) -> None:
    app = press(press(compared(place), "Propose a map"), "Check and try it")
    app.checkbox[0].set_value(False)
    press(app, "Write plumbline.yaml")
    assert "Set CRM_URL and WAREHOUSE_URL wherever you start the auditor" in text(app).replace("\\", "")
    assert not (place / ".env").exists()


def test_no_pair_is_no_map(place: Path) -> None:
    app = compared(place)
    app.checkbox[0].set_value(False)
    assert "choose at least one pair of collections" in text(press(app, "Propose a map"))


def test_whoever_may_not_act_any_more_changes_nothing(place: Path) -> None:
    app = press(press(compared(place), "Propose a map"), "Check and try it")
    seat(app, ONLOOKER)
    app.run()
    assert "may only look" in text(app)
    assert [*app.button] == []


def choose(app: AppTest, at: int, kind: str) -> AppTest:
    app.radio(key=f"kind-{at}-{progress(app).tries}").set_value(kinds()[kind]).run()
    assert not app.exception
    return app


def test_an_account_is_signed_in_to_and_its_secret_is_never_shown_again(place: Path) -> None:
    secret = "rk_hunter2_0123456789"
    with ExitStack() as stack:
        accounts = Accounts(stack)
        accounts.fill(place)
        key, address = accounts.words["stripe"].values()
        app = choose(begun(), 1, "stripe")
        field(app, "url", 0).set_value("postgresql://ada@127.0.0.1:1/crm")
        field(app, "password", 0).set_value(secret)
        field(app, "key", 1, "stripe").set_value(secret)
        field(app, "url", 1, "stripe").set_value(address)
        press(app, "Connect and compare")
        source, copies = (str(each.value) for each in app.error)
        assert source.startswith("Source of truth: crm: unreachable")
        assert copies.startswith("System with the copies: stripe: auth")
        assert progress(app).at is Step.CONNECT
        assert secret not in text(app) + repr(progress(app)) + repr([each.value for each in app.text_input])
        assert field(app, "key", 1, "stripe").placeholder == "Entered; leave empty to keep it"
        assert field(app, "url", 1, "stripe").value == address
        field(app, "url", 0).set_value(f"sqlite:///{place}/copies.sqlite")
        field(app, "key", 1, "stripe").set_value(key)
        held = progress(app).held[0]
        assert held["password"] == secret
        press(app, "Connect and compare")
        assert "a password needs a user" in text(app)
        choose(app, 1, "hubspot")
        assert "a password needs a user" in text(app)
        choose(choose(app, 0, "hubspot"), 0, "database")
        assert field(app, "url", 0).value == f"sqlite:///{place}/copies.sqlite"


def test_an_account_leads_to_a_map(place: Path) -> None:
    with ExitStack() as stack:
        accounts = Accounts(stack)
        accounts.fill(place)
        app = choose(begun(), 0, "hubspot")
        for word, entered in accounts.words["hubspot"].items():
            field(app, word, 0, "hubspot").set_value(entered)
        field(app, "url", 1).set_value(f"sqlite:///{place}/copies.sqlite")
        press(app, "Connect and compare")
        assert "12 of 12 records are in both, by the key email = email." in text(app)
        press(app, "Back")
        assert field(app, "token", 0, "hubspot").placeholder == "Entered; leave empty to keep it"
        assert accounts.words["hubspot"]["token"] not in repr(progress(app).entered)
        press(app, "Connect and compare")
        press(app, "Propose a map")
        assert 'token: "${HUBSPOT_TOKEN}"' in str(app.text_area[0].value)
        press(app, "Check and try it")
        assert "Every system can be audited" in str(app.success[0].value)
        press(app, "Write plumbline.yaml")
        assert progress(app).held == ({}, {})
    assert "HUBSPOT_TOKEN=" in (place / ".env").read_text()
    assert accounts.words["hubspot"]["token"] not in (place / "plumbline.yaml").read_text()


def test_what_holds_nothing_or_cannot_be_read_is_said_once_for_each_system(place: Path) -> None:
    app = compared(place)
    found = progress(app).plan.found
    assert found is not None
    found.bare["crm"] = ["deals"]
    found.unread["crm"] = {"notes": "permission: denied", "tasks": "permission: denied", "calls": "timeout: 5 s"}
    app.run()
    assert "deals of crm holds no records that this login may read, so no fields could be matched." in text(app)
    (warned,) = app.warning
    assert str(warned.value).split("\n\n") == [
        "notes and tasks of crm cannot be read: permission: denied.",
        "calls of crm cannot be read: timeout: 5 s.",
    ]


def faults(page: Page) -> list[Any]:
    """The rules of axe that a page breaks, and what reaches beyond the right edge of a telephone."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    engine = engines.AXE.found()
    found: list[Any] = []
    if engine is not None:
        page.evaluate((engine / "package" / "axe.min.js").read_text(encoding="utf-8"))
        found += broken_rules(page)
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(lambda: page.evaluate(BESIDE) == [], what=str(page.evaluate(BESIDE)))
    page.set_viewport_size({"width": 1440, "height": 1000})
    return found


@contextmanager
def served(place: Path) -> Iterator[tuple[str, Path]]:
    """A dashboard without a map: its address and its log."""
    port, log = free_port(), place / "log.txt"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
    command = [sys.executable, "-m", "auditor", "dashboard", "--port", str(port)]
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, cwd=place, env={**clean, "PYTHONPATH": str(HOME)}, stdout=subprocess.DEVNULL, stderr=told
        )
    try:
        wait_for_port(port, process, 120)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()


def begin(page: Page, address: str, log: Path) -> None:
    page.goto(f"{address}/drift")
    wait_until(lambda: SAID.search(log.read_text()))
    page.get_by_role("textbox", name="Set-up code").fill(SAID.findall(log.read_text())[0])
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("button", name="Connect and compare")).to_be_visible()


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_map_is_set_up_in_a_browser(scheme: str, place: Path) -> None:
    with served(place) as (address, log), chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
        begin(page, address, log)
        broken = faults(page)
        for at, name in enumerate(("crm", "warehouse")):
            page.get_by_role("textbox", name="Address", exact=True).nth(at).fill(f"sqlite:///{place}/{name}.sqlite")
        page.get_by_role("button", name="Connect and compare").click()
        expect(page.get_by_text("12 of 12 records are in both")).to_be_visible()
        page.get_by_role("button", name="Propose a map").click()
        page.get_by_role("button", name="Check and try it").click()
        expect(page.get_by_text("Every system can be audited")).to_be_visible()
        broken += faults(page)
        assert str(place) not in page.url
        page.get_by_role("button", name="Write plumbline.yaml").click()
        expect(page.get_by_text("The map is in")).to_be_visible()
        page.reload()
        expect(page.get_by_text("nothing has been audited yet")).to_be_visible()
        broken += faults(page)
        page.get_by_role("link", name="Read the map").click()
        expect(page.get_by_role("heading", name="Effective map of the file")).to_be_visible()
        broken += faults(page)
        page.get_by_role("link", name="Audit once on the page Set up").click()
        page.get_by_role("button", name="Audit once").click()
        page.get_by_role("link", name="Open the Overview").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert broken == []
    assert (place / "plumbline.yaml").exists()


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_an_account_is_chosen_and_signed_in_to_in_a_browser(place: Path) -> None:
    with ExitStack() as stack:
        accounts = Accounts(stack)
        accounts.fill(place)
        token, api = accounts.words["hubspot"].values()
        address, log = stack.enter_context(served(place))
        page = stack.enter_context(chromium()).new_page(viewport={"width": 1440, "height": 1000})
        begin(page, address, log)
        page.get_by_text("HubSpot", exact=True).first.click()
        field = page.get_by_role("textbox", name="Access token")
        expect(field).to_be_visible()
        broken = faults(page)
        field.fill("hunter2-0123456789")
        page.get_by_role("textbox", name="API address").fill(api)
        page.get_by_role("textbox", name="Address", exact=True).fill(f"sqlite:///{place}/copies.sqlite")
        page.get_by_role("button", name="Connect and compare").click()
        expect(page.get_by_text("source of truth: hubspot: auth")).to_be_visible()
        assert "hunter2" not in page.content()
        broken += faults(page)
        page.get_by_role("textbox", name="Access token").fill(token)
        page.get_by_role("button", name="Connect and compare").click()
        expect(page.get_by_text("12 of 12 records are in both")).to_be_visible(timeout=60_000)
        # What stood there before stays until the whole page has been drawn.
        expect(page.get_by_role("textbox", name="Access token")).to_have_count(0, timeout=60_000)
        assert token not in page.content()
        page.get_by_role("button", name="Back").click()
        expect(page.get_by_role("textbox", name="Access token")).to_have_value("")
        assert token not in page.content()
        assert broken == []
        assert token not in log.read_text()
