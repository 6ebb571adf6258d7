"""The guided path: which step comes next, what each takes and yields, and what a change undoes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.map import loader
from auditor.setup import steps
from auditor.setup.addresses import Entered, system_of
from auditor.setup.environment_file import values_of, with_variables
from auditor.setup.reading import find
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import ABOUT, Plan, Step, step_of
from auditor.setup.trial import Trial, check
from auditor.systems.matches import Found
from probes.addresses import login_of
from probes.records.hubspot.settings import HubSpotSettings
from tests.auditor.setup.pair import fill, systems_in


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan whose systems have been read."""
    fill(tmp_path)
    begun = steps.connected(systems_in(tmp_path))
    assert begun.systems is not None
    return steps.discovered(begun, find(begun.systems, tell=lambda _: None))


def after_check(plan: Plan, text: str | None = None) -> Plan:
    assert plan.text is not None
    return steps.checked(plan, check(text or plan.text, "plumbline.yaml", plan.variables, plan.scrub))


def test_each_step_follows_from_what_is_there(plan: Plan) -> None:
    assert step_of(Plan()) is Step.CONNECT
    assert step_of(plan) is Step.DISCOVER
    proposed = steps.proposed(plan, [0])
    assert step_of(proposed) is Step.PROPOSE
    good = after_check(proposed)
    assert step_of(good) is Step.DRY_RUN
    bad = after_check(good, "systems: [")
    assert (step_of(bad), bad.trial) == (Step.CHECK, None)
    tried = steps.tried(good, Trial(reports=(), readings=()))
    assert (step_of(tried), tried.written) == (Step.VERDICTS, False)
    assert steps.written(tried).written
    assert [*ABOUT] == [*Step]


def test_other_pairs_or_another_text_undo_what_followed(plan: Plan) -> None:
    tried = steps.tried(after_check(steps.proposed(plan, [0])), Trial(reports=(), readings=()))
    assert step_of(after_check(tried)) is Step.DRY_RUN
    assert step_of(steps.proposed(tried, [0])) is Step.PROPOSE
    assert tried.found is not None
    assert step_of(steps.discovered(tried, tried.found)) is Step.DISCOVER


def test_the_pairs_are_shown_with_their_evidence(plan: Plan) -> None:
    assert plan.found is not None
    (row,) = steps.pair_rows(plan.found)
    assert row == {
        "pair": 1,
        "collection in crm": "customers",
        "collection in warehouse": "dim_customer",
        "records in both": "11 of 12",
        "key": "id = customer_id",
        "fields": 2,
    }
    (match,) = plan.found.matches
    assert steps.usable(match)
    assert not steps.usable(replace(match, common=0))
    assert steps.doubt(match) == ""
    assert "no record in common" in steps.doubt(replace(match, common=0))
    assert "no field that can be compared" in steps.doubt(replace(match, fields=()))
    assert {each["field"]: each["field of the copy"] for each in steps.field_rows(match)} == {
        "name": "full_name",
        "balance": "balance",
    }


def test_pairs_that_do_not_exist_are_refused(plan: Plan) -> None:
    for chosen in ([], [-1], [0, 1]):
        with pytest.raises(SetupError, match="choose"):
            steps.proposed(plan, chosen)


def test_a_map_with_the_login_of_a_system_is_refused(plan: Plan) -> None:
    proposed = steps.proposed(plan, [0])
    assert proposed.text is not None
    assert proposed.systems is not None
    written, secret = proposed.text, "hunter2-0123456789"
    one = replace(proposed.systems[0], words={"url": f"postgresql://ada:{secret}@h/crm"})
    proposed = replace(proposed, systems=(one, proposed.systems[1]))
    for text in (written.replace("${CRM_URL}", one.words["url"]), f"{written}# {secret}\n"):
        with pytest.raises(SetupError, match=r"the map holds the login of crm.*\$\{CRM_URL\}") as refused:
            after_check(proposed, text)
        assert secret not in str(refused.value)


def test_a_map_with_the_token_of_an_account_is_refused(plan: Plan) -> None:
    proposed = steps.proposed(plan, [0])
    assert proposed.text is not None
    assert proposed.systems is not None
    secret = "hunter2-0123456789"
    account = system_of(Entered(kind="hubspot", words={"token": secret}), 0, {})
    proposed = replace(proposed, systems=(account, proposed.systems[1]))
    with pytest.raises(
        SetupError, match=r"the map holds the login of hubspot.*token: .*\$\{HUBSPOT_TOKEN\}"
    ) as refused:
        after_check(proposed, f"{proposed.text}# {secret}\n")
    assert secret not in str(refused.value)
    assert proposed.unset["HUBSPOT_TOKEN"] == secret
    assert secret not in proposed.scrub(f"refused {secret}")


def test_why_nothing_was_found_is_told_with_what_to_do() -> None:
    found = Found(
        systems=("crm", "hubspot"),
        empty=("hubspot",),
        unread={"hubspot": {"contacts": "permission: no (grant the app one of these scopes: a)"}},
    )
    told = " ".join(steps.nothing_found(found))
    assert "hubspot holds no records" in told
    assert "contacts of hubspot cannot be read: permission: no (grant the app one of these scopes: a)." in told
    assert "Is it the right database or account?" in told


def test_where_records_were_read_on_both_sides_a_key_is_what_lacks() -> None:
    many = [f"t{number}" for number in range(7)]
    found = Found(
        systems=("crm", "billing"),
        alone={"crm": ["people", "bare"], "billing": many},
        bare={"crm": ["bare"]},
    )
    told = " ".join(steps.nothing_found(found))
    assert "Records of people of crm and t0, t1, t2, t3, t4 and 2 more of billing were compared." in told
    assert "a primary key, a unique column" in told
    assert "grant" not in told
    assert "right database" in " ".join(steps.nothing_found(replace(found, alone={"crm": ["bare"], "billing": many})))


def test_what_cannot_be_read_for_one_reason_is_told_together(plan: Plan) -> None:
    assert plan.found is not None
    unread = {"crm": {"deals": "permission: no", "notes": "permission: no", "tasks": "timeout"}}
    assert steps.unread(replace(plan.found, unread=unread)) == [
        "deals and notes of crm cannot be read: permission: no.",
        "tasks of crm cannot be read: timeout.",
    ]


def test_collections_without_records_are_named(plan: Plan) -> None:
    assert plan.found is not None
    told = steps.without_records(replace(plan.found, bare={"crm": ["deals"], "warehouse": ["a", "b"], "x": []}))
    assert told == [
        "deals of crm holds no records that this login may read, so no fields could be matched.",
        "a and b of warehouse hold no records that this login may read, so no fields could be matched.",
    ]


def test_a_system_that_holds_nothing_is_named_whether_or_not_pairs_were_found(plan: Plan) -> None:
    assert plan.found is not None
    assert plan.found.matches
    told = steps.unread(replace(plan.found, empty=("warehouse",)))
    assert told == ["warehouse holds no records that this login may read."]


def test_only_a_whole_reference_stands_for_what_the_environment_holds(plan: Plan, tmp_path: Path) -> None:
    """A variable's sign inside a longer secret is part of the secret, in whatever form the map is loaded."""
    secret = "a${PATH}b$HOME"
    inside = {"PATH": "not-this", "HOME": "nor-this"}
    account = system_of(Entered(kind="hubspot", words={"token": secret}), 0, inside)
    assert account.values == {"HUBSPOT_TOKEN": secret}
    whole = Entered(words={"url": "postgresql://ada@h/crm", "password": secret})
    beside = Entered(words={"url": f"postgresql://ada:{secret.replace('$', '%24')}@h/crm"})
    for entered in (whole, beside):
        assert login_of(system_of(entered, 1, inside).words["url"]).password == secret
    for text in ("$HOME", "$${HOME}", "${HOME}x"):
        assert system_of(Entered(kind="hubspot", words={"token": text}), 0, inside).words["token"] == text
    file = tmp_path / "plumbline.yaml"
    file.write_text(f"systems:\n{account.text}\n")
    loaded = loader.load_systems(file, {**inside, **account.values})
    hubspot = loaded["hubspot"]
    assert isinstance(hubspot, HubSpotSettings)
    token = hubspot.token
    assert token is not None
    assert token.get_secret_value() == secret
    with pytest.raises(SetupError, match=r"the map holds the login of hubspot"):
        after_check(replace(plan, systems=(account, account), text=""), f"# {secret}\n")
    with pytest.raises(SetupError, match=r"HUBSPOT_TOKEN cannot be kept in a \.env file; set the variable yourself"):
        with_variables("", account.values)
    for variables in (system_of(entered, 1, inside).values for entered in (whole, beside)):
        assert values_of(with_variables("", variables)) == variables


def test_only_what_the_environment_lacks_is_to_be_kept(plan: Plan) -> None:
    assert plan.systems is not None
    one, other = plan.systems
    known = replace(plan, systems=(replace(one, known={"CRM_URL"}), other))
    assert [*known.variables] == ["CRM_URL", "WAREHOUSE_URL"]
    assert [*known.unset] == ["WAREHOUSE_URL"]
