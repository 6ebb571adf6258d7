"""From two logins to first verdicts, with accounts of HubSpot, Salesforce and Stripe on either side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.setup import steps
from auditor.setup.addresses import DATABASE, Entered, pair_of, system_of
from auditor.setup.reading import catalogue, find, first_verdicts
from auditor.setup.setup_error import SetupError
from auditor.setup.trial import check, dry_run
from auditor.workspace import Workspace
from tests.auditor.setup.accounts import Accounts
from tests.auditor.setup.pair import RECORDS, database
from tests.standins import faults

PAIRS = [
    ("hubspot", DATABASE),
    (DATABASE, "hubspot"),
    ("salesforce", DATABASE),
    (DATABASE, "salesforce"),
    (DATABASE, "stripe"),
    ("salesforce", "stripe"),
]


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    with ExitStack() as stack:
        yield Accounts(stack)


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize(("owner", "copy"), PAIRS)
def test_two_logins_lead_to_a_map_without_mistakes_and_first_verdicts(
    owner: str, copy: str, accounts: Accounts, tmp_path: Path
) -> None:
    accounts.fill(tmp_path)
    sides = [
        database(f"sqlite:///{tmp_path}/copies.sqlite") if kind == DATABASE else accounts.entered(kind)
        for kind in (owner, copy)
    ]
    systems = pair_of(sides[0], sides[1], {})
    plan = steps.connected(systems)
    plan = steps.discovered(plan, find(systems, tell=quiet))
    assert plan.found is not None
    chosen = [at for at, match in enumerate(plan.found.matches) if steps.usable(match)]
    assert [plan.found.matches[at].common for at in chosen] == [RECORDS]
    plan = steps.proposed(plan, chosen)
    assert plan.text is not None
    assert not any(secret in plan.text for each in systems for one in each.secrets.values() for secret in one)
    checked = check(plan.text, "map.yaml", plan.variables, plan.scrub)
    assert checked.problems == (), plan.text
    assert checked.loaded is not None
    trial = dry_run(checked.loaded, tell=quiet)
    assert trial.ok, trial
    if DATABASE in (owner, copy):
        assert [(each.agree, each.differ) for each in trial.readings] == [(RECORDS, 0)], plan.text
    (report,) = first_verdicts(checked.loaded, Workspace.at(tmp_path / "var"), wait_s=0, tell=quiet)
    assert (report.error, report.records) == ("", RECORDS)


@pytest.mark.parametrize("kind", ["hubspot", "salesforce", "stripe"])
def test_a_wrong_secret_is_noticed_at_once_and_repeated_nowhere(kind: str, accounts: Accounts) -> None:
    secret = "rk_hunter2_0123456789"
    words = {word: text if word == "url" else secret for word, text in accounts.words[kind].items()}
    with pytest.raises(SetupError) as failed:
        catalogue(system_of(Entered(kind=kind, words=words), 0, {}), tell=quiet)
    assert str(failed.value).startswith(f"{kind}: auth: ")
    assert "hunter2" not in str(failed.value)


@pytest.mark.parametrize("kind", ["hubspot", "salesforce", "stripe"])
def test_an_account_that_does_not_answer_is_named(kind: str, accounts: Accounts) -> None:
    words = {**accounts.words[kind], "url": "http://127.0.0.1:1"}
    with pytest.raises(SetupError, match=f"^{kind}: unreachable: "):
        catalogue(system_of(Entered(kind=kind, words=words), 0, {}), tell=quiet)


def test_a_login_that_may_read_nothing_is_told_what_it_lacks(accounts: Accounts) -> None:
    def told(kind: str) -> str:
        with pytest.raises(SetupError, match=f"^{kind}: permission: ") as failed:
            catalogue(system_of(accounts.entered(kind), 0, {}), tell=quiet)
        return str(failed.value)

    accounts.hubspot.scopes.clear()
    assert "may not read contacts, companies or deals" in told("hubspot")
    assert "crm.objects.contacts.read, crm.objects.companies.read, crm.objects.deals.read" in told("hubspot")
    accounts.salesforce.store.objects.clear()
    assert "View All on each object to be audited" in told("salesforce")
    accounts.stripe.refused_paths.update(["events", "prices"])
    assert "may not read prices or events; " in told("stripe")
    assert told("stripe").endswith("(grant the restricted key read permission for events)")
    accounts.stripe.fail(faults.refused(403), on="*", times=100)
    assert "may not read customers, subscriptions, invoices, " in told("stripe")


def test_an_empty_account_is_named(accounts: Accounts, tmp_path: Path) -> None:
    accounts.fill(tmp_path)
    for one in accounts.hubspot.records("contacts").copy():
        accounts.hubspot.archive("contacts", one)
    systems = pair_of(accounts.entered("hubspot"), database(f"sqlite:///{tmp_path}/copies.sqlite"), {})
    found = find(systems, tell=quiet)
    assert found.matches == []
    assert "contacts" in found.bare["hubspot"]
    assert found.empty == ("hubspot",)
    assert "hubspot holds no records" in " ".join(steps.nothing_found(found))


def test_one_account_is_no_pair(accounts: Accounts) -> None:
    one = accounts.entered("stripe")
    with pytest.raises(SetupError, match="this is the account of the source of truth"):
        pair_of(one, replace(one, name="other"), {})
