"""`auditor init` on a terminal, as a person uses it: questions, mistakes, Ctrl-C, and what is written at the end."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from auditor.cli.template import TEMPLATE
from auditor.map.loader import load_map
from tests.auditor.cli.process import auditor
from tests.auditor.setup.accounts import Accounts
from tests.auditor.setup.pair import fill
from tests.terminal import INTERRUPT, Terminal, talk


def connecting(place: Path) -> list[tuple[str, str | None]]:
    """Questions and answers up to the tables that were found."""
    asked: list[tuple[str, str | None]] = []
    for which, name in (("The source of truth", "crm"), ("The system with the copies", "warehouse")):
        asked += [
            (f"{which}: address", f"sqlite:///{place}/{name}.sqlite"),
            ("Name in the map", ""),
            ("Time zone of its times", ""),
        ]
    return asked


def adding(place: Path, line: str) -> str:
    """An editor that adds a line to what it is given."""
    editor = place / "editor.sh"
    editor.write_text(f"#!/bin/sh\necho '{line}' >> \"$1\"\n")
    editor.chmod(0o755)
    return str(editor)


PROPOSED = [("Pairs to audit [1]", ""), ("Change it in an editor first?", "n")]
"""Questions and answers from the tables that were found to the dry run."""


def test_questions_lead_to_a_map_and_its_first_verdicts(tmp_path: Path) -> None:
    fill(tmp_path, alike=True)
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("Pairs to audit", "2"),
            ("choose pairs from 1 to 1", None),
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "n"),
            ("Write plumbline.yaml?", ""),
            ("which only you may read?", ""),
            ("Audit every record once now?", ""),
        ],
    )
    assert code == 0, terminal.shown
    assert "12 of 12" in terminal.shown
    assert "consistent: every record was read, and everything that was due agrees\r\n" in terminal.shown
    assert "To audit continuously: auditor run\r\n" in terminal.shown
    assert "Traceback" not in terminal.shown
    environment = {f"{name.upper()}_URL": f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("crm", "warehouse")}
    assert [*load_map(tmp_path / "plumbline.yaml", environment).flows] == ["customer_to_warehouse"]
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert auditor("check", cwd=tmp_path).returncode == 0
    assert auditor("drift", cwd=tmp_path).returncode == 0


def test_a_password_is_asked_for_apart_and_stands_in_no_text(postgresql_url: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE customers (id int PRIMARY KEY, name text, balance numeric)")
        connection.execute("INSERT INTO customers SELECT n, 'Customer ' || n, n / 4.0 FROM generate_series(1, 12) n")
        role = f"reader_{os.getpid()}"
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2-0123456789'")
        connection.execute(f"GRANT SELECT ON customers TO {role}")
    place = re.sub(r"//[^@/]*@", "//", postgresql_url).replace("//", f"//{role}@", 1)
    copies = connecting(tmp_path)[3:]
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            ("The source of truth: address", place),
            ("Password (not shown", "hunter2-0123456789"),
            ("Name in the map", "crm"),
            ("Time zone of its times", ""),
            *copies,
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "n"),
            ("Write plumbline.yaml?", "y"),
            ("which only you may read?", ""),
            ("Audit every record once now?", "n"),
        ],
    )
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")
    assert code == 0, terminal.shown
    assert "hunter2" not in terminal.shown
    assert "hunter2" not in (tmp_path / "plumbline.yaml").read_text()
    assert "hunter2-0123456789" in (tmp_path / ".env").read_text()
    assert not (tmp_path / "var").exists()


def test_a_wrong_address_is_asked_for_again(tmp_path: Path) -> None:
    fill(tmp_path)
    terminal = Terminal(tmp_path, "init", GIVEN=f"sqlite:///{tmp_path}/crm.sqlite")
    code = talk(
        terminal,
        [
            ("The source of truth: address", "crm.sqlite"),
            (f"not a database URL; for this SQLite file write sqlite:///{tmp_path}/crm.sqlite\r\n", None),
            ("The source of truth: address", "${NOT_GIVEN}"),
            ("environment variable NOT_GIVEN is not set", None),
            ("The source of truth: address", "${GIVEN}"),
            ("Name in the map", ""),
            ("Time zone of its times", "Mars"),
            ("unknown time zone", None),
            ("Time zone of its times", ""),
            ("The system with the copies: address", "${GIVEN}"),
            ("this is the address of the source of truth", None),
            ("1: Enter another system with the copies", None),
            ("Number [1]", ""),
            ("The system with the copies: address", f"sqlite:///{tmp_path}/none.sqlite"),
            ("none: ", None),
            ("The system with the copies: address", f"sqlite:///{tmp_path}/warehouse.sqlite"),
            ("Name in the map", "9 lives"),
            ("the name of a system is", None),
            ("Name in the map", "crm"),
            ("crm is the name of the source of truth", None),
            ("Name in the map", ""),
            ("Time zone of its times", ""),
            ("Pairs to audit", INTERRUPT),
        ],
    )
    assert code == 130, terminal.shown
    assert "␣" not in terminal.shown
    assert "[${GIVEN}]" not in terminal.shown
    assert "stopped; nothing has been written" in terminal.shown


@pytest.mark.parametrize("question", ["The source of truth: address", "Pairs to audit", "which only you may read?"])
def test_ctrl_c_leaves_nothing_behind(question: str, tmp_path: Path) -> None:
    fill(tmp_path)
    before = sorted(each.name for each in tmp_path.iterdir())
    answers: list[tuple[str, str | None]] = [
        *connecting(tmp_path),
        ("Pairs to audit", ""),
        ("Change it in an editor first?", "n"),
        ("Write plumbline.yaml?", ""),
        ("which only you may read?", ""),
    ]
    at = [asked for asked, _ in answers].index(question)
    terminal = Terminal(tmp_path, "init")
    assert talk(terminal, [*answers[:at], (question, INTERRUPT)]) == 130
    assert "stopped; nothing has been written" in terminal.shown
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_map_is_corrected_in_an_editor(tmp_path: Path) -> None:
    fill(tmp_path)
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nif [ -e "$0.done" ]; then sed -i s/nobody/crm/ "$1"; exit; fi\n')
    with editor.open("a") as script:
        script.write('touch "$0.done"; sed -i "s/owner: crm/owner: nobody/" "$1"\n')
    editor.chmod(0o755)
    terminal = Terminal(tmp_path, "init", "my.yaml", EDITOR=str(editor), VISUAL="")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "y"),
            ("data_types.customer.owner: ", None),
            ("1: Change the map in an editor", None),
            ("2: Take the map as it was proposed", None),
            ("Number [1]", ""),
            ("Write my.yaml?", ""),
            ("which only you may read?", "n"),
            ("Audit every record once now?", "n"),
        ],
    )
    assert code == 0, terminal.shown
    assert "my.yaml:" in terminal.shown
    assert "set CRM_URL, WAREHOUSE_URL wherever you start the auditor" in terminal.shown
    assert "auditor run --map my.yaml" in terminal.shown
    assert not (tmp_path / ".env").exists()


def test_an_account_and_a_database_lead_to_first_verdicts(tmp_path: Path) -> None:
    with ExitStack() as stack:
        accounts = Accounts(stack)
        accounts.fill(tmp_path)
        token, address = accounts.words["hubspot"].values()
        terminal = Terminal(tmp_path, "init")
        code = talk(
            terminal,
            [
                ("The source of truth: address", "hubspott"),
                ("did you mean 'hubspot'", None),
                ("The source of truth: address", "hubspot"),
                ("crm.objects.contacts.read", None),
                ("Access token (not shown)", ""),
                ("nothing was entered; Access token is needed: ", None),
                ("The source of truth: address, hubspot, salesforce or stripe [hubspot]", "stripe"),
                ("Restricted key", ""),
                ("nothing was entered; Restricted key is needed: ", None),
                ("The source of truth: address, hubspot, salesforce or stripe [stripe]", "hubspot"),
                ("Access token (not shown)", "hunter2-0123456789"),
                ("API address", address),
                ("hubspot: auth: ", None),
                ("The source of truth: address", ""),
                ("Access token (not shown, Enter keeps the one entered)", token),
                ("API address", "127.0.0.1:1"),
                ("API address: not a URL", None),
                ("The source of truth: address", ""),
                ("Access token (not shown, Enter keeps the one entered)", ""),
                ("API address", address),
                ("Name in the map [hubspot]", ""),
                ("The system with the copies: address", "HubSpot"),
                ("Access token (not shown)", token),
                ("API address", address),
                ("this is the account of the source of truth", None),
                ("Number [1]", ""),
                ("The system with the copies: address", f"sqlite:///{tmp_path}/copies.sqlite"),
                ("Name in the map", ""),
                ("Time zone of its times", ""),
                ("Pairs to audit", ""),
                ("Change it in an editor first?", "n"),
                ("The map has no mistakes", None),
                ("Write plumbline.yaml?", ""),
                ("which only you may read?", ""),
                ("Audit every record once now?", ""),
            ],
        )
    assert code == 0, terminal.shown
    assert "12 of 12" in terminal.shown
    for text in (terminal.shown, (tmp_path / "plumbline.yaml").read_text()):
        assert token not in text
        assert "hunter2" not in text
    assert f"HUBSPOT_TOKEN='{token}'" in (tmp_path / ".env").read_text()
    assert 'token: "${HUBSPOT_TOKEN}"' in (tmp_path / "plumbline.yaml").read_text()
    assert auditor("check", cwd=tmp_path).returncode == 0


def test_systems_with_nothing_in_common_are_told_apart(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as warehouse, warehouse:
        warehouse.executescript("DROP TABLE dim_customer; CREATE TABLE zz (q blob);")
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("no collections in common", None),
            ("warehouse holds no records that this login may read", None),
            ("auditor init --template", None),
            ("1: Enter the systems again", None),
            ("Number [1]", "3"),
            ("Nothing has been written, and what you entered will be lost. Stop?", ""),
            ("Number [1]", ""),
            *connecting(tmp_path)[:3],
            (f"The system with the copies: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/w", ""),
            ("Name in the map [warehouse]", ""),
            ("Time zone of its times", ""),
            ("Number [1]", "3"),
            ("what you entered will be lost. Stop?", "y"),
        ],
    )
    assert code == 130, terminal.shown
    assert "stopped; nothing has been written" in terminal.shown


def test_what_cannot_be_written_is_asked_for_again(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / ".env").mkdir()
    (tmp_path / "maps").mkdir()
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            *PROPOSED,
            ("Write plumbline.yaml?", ""),
            ("which only you may read?", ""),
            ("Is a directory; nothing has been written", None),
            ("1: Try again", None),
            ("Number [1]", "2"),
            ("Write the map to", ""),
            ("nothing was entered; write the path of a file", None),
            ("Write the map to", "maps"),
            ("maps is a folder; name a file in it, such as maps/plumbline.yaml", None),
            ("Write the map to", "none/a.yaml"),
            ("there is no folder none; make it first", None),
            ("Write the map to", "maps/a.yaml"),
            ("Is a directory; nothing has been written", None),
            ("3: Do not keep the logins in .env", None),
            ("Number [1]", "3"),
            ("wrote maps/a.yaml\r\n", None),
            ("set CRM_URL, WAREHOUSE_URL wherever you start the auditor", None),
            ("Audit every record once now?", "n"),
        ],
    )
    assert code == 0, terminal.shown
    assert "auditor run --map maps/a.yaml" in terminal.shown
    assert sorted(each.name for each in tmp_path.rglob("*.yaml")) == ["a.yaml"]


def test_who_does_not_write_the_map_at_once_loses_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            *PROPOSED,
            ("Write plumbline.yaml?", "n"),
            ("The map is not written yet. What now?", None),
            ("4: Stop", None),
            ("Number [1]", "n"),
            ("write a number from 1 to 4", None),
            ("Number [1]", ""),
            ("Write the map to", "other.yaml"),
            ("which only you may read?", ""),
            ("Audit every record once now?", "n"),
        ],
    )
    assert code == 0, terminal.shown
    assert (tmp_path / "other.yaml").exists()


def test_after_a_failed_dry_run_a_person_may_try_again_go_back_or_go_on(tmp_path: Path) -> None:
    fill(tmp_path)
    terminal = Terminal(tmp_path, "init")
    for question, answer in [*connecting(tmp_path), PROPOSED[0]]:
        terminal.answer(question, answer)
    terminal.until("Change it in an editor first?")
    (tmp_path / "warehouse.sqlite").rename(tmp_path / "away.sqlite")
    terminal.answer("", "n")
    for number in ("n", "5", "1"):
        terminal.answer("The dry run met problems. What now?" if number == "n" else "", None)
        terminal.answer("Number [1]", number)
        if number == "5":
            terminal.answer("Stop?", "")
    terminal.until("The dry run met problems. What now?")
    (tmp_path / "away.sqlite").rename(tmp_path / "warehouse.sqlite")
    code = talk(
        terminal,
        [
            ("Number [1]", "2"),
            (f"address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/crm.sqlite]", ""),
            ("Name in the map [crm]", "customers"),
            ("Time zone of its times without one [UTC]", "Europe/Berlin"),
            (f"address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/warehouse.sqlite]", ""),
            ("Name in the map [warehouse]", ""),
            ("Time zone of its times", ""),
            *PROPOSED,
            ("Write plumbline.yaml?", "n"),
            ("Number [1]", "3"),
            ("address, hubspot", ""),
            ("Name in the map [customers]", ""),
            ("Time zone of its times without one [Europe/Berlin]", INTERRUPT),
        ],
    )
    assert code == 130, terminal.shown


def test_an_edited_map_outlives_new_logins(tmp_path: Path) -> None:
    fill(tmp_path)
    terminal = Terminal(tmp_path, "init", EDITOR=adding(tmp_path, "# mine"), VISUAL="")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "y"),
            ("Write plumbline.yaml?", "n"),
            ("Number [1]", "3"),
            *connecting(tmp_path),
            ("Pairs to audit [1]", ""),
            ("Take the map as you edited it before?", ""),
            ("# mine", None),
            ("Change it in an editor first?", ""),
            ("Write plumbline.yaml?", ""),
            ("which only you may read?", "n"),
            ("Audit every record once now?", "n"),
        ],
    )
    assert code == 0, terminal.shown
    assert (tmp_path / "plumbline.yaml").read_text().endswith("# mine\n")


def test_edits_are_not_taken_over_for_another_choice(tmp_path: Path) -> None:
    fill(tmp_path)
    terminal = Terminal(tmp_path, "init", EDITOR=adding(tmp_path, "# mine"), VISUAL="")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "y"),
            ("Write plumbline.yaml?", "n"),
            ("Number [1]", "3"),
            connecting(tmp_path)[0],
            ("Name in the map [crm]", "customers"),
            *connecting(tmp_path)[2:],
            ("Pairs to audit [1]", ""),
            ("proposed anew, because your choices have changed. Your edits are not in it", None),
            ("Change it in an editor first?", ""),
            ("Write plumbline.yaml?", ""),
            ("which only you may read?", ""),
            ("Audit every record once now?", "n"),
        ],
    )
    assert code == 0, terminal.shown
    assert "as you edited it before" not in terminal.shown
    assert "# mine" not in (tmp_path / "plumbline.yaml").read_text()
    assert auditor("check", cwd=tmp_path).returncode == 0


def test_the_first_system_is_corrected_where_the_second_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    crm, warehouse = connecting(tmp_path)[:3], connecting(tmp_path)[3:]
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            ("The source of truth: address", f"sqlite:///{tmp_path}/warehouse.sqlite"),
            *crm[1:],
            ("To enter the source of truth again, write back", None),
            warehouse[0],
            ("this is the address of the source of truth", None),
            ("2: Enter the source of truth again", None),
            ("Number [1]", "2"),
            *crm,
            (f"The system with the copies: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/w", "Back"),
            (f"The source of truth: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/crm", ""),
            *crm[1:],
            (f"The system with the copies: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/w", ""),
            ("Name in the map [warehouse]", ""),
            ("Time zone of its times", ""),
            ("Pairs to audit [1]", INTERRUPT),
        ],
    )
    assert code == 130, terminal.shown


def test_from_a_map_with_mistakes_a_way_leads_to_the_systems(tmp_path: Path) -> None:
    fill(tmp_path)
    shutil.copy(tmp_path / "warehouse.sqlite", tmp_path / "other.sqlite")
    crm = connecting(tmp_path)[:3]
    terminal = Terminal(tmp_path, "init", EDITOR=adding(tmp_path, "mistake: 1"), VISUAL="")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("Pairs to audit", ""),
            ("Change it in an editor first?", "x"),
            ("write y or n", None),
            ("Change it in an editor first?", "y"),
            ("The map cannot be used as it is. What now?", None),
            ("3: Enter the systems again", None),
            ("Number [1]", "3"),
            *crm,
            ("The system with the copies: address", "back"),
            *crm,
            ("The system with the copies: address", f"sqlite:///{tmp_path}/other.sqlite"),
            ("Name in the map [other]", " BACK"),
            (f"The system with the copies: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/other", ""),
            ("Name in the map [other]", "others"),
            ("Time zone of its times", "back"),
            (f"The system with the copies: address, hubspot, salesforce or stripe [sqlite:///{tmp_path}/other", ""),
            ("Name in the map [others]", INTERRUPT),
        ],
    )
    assert code == 130, terminal.shown


def test_an_address_with_a_login_is_kept_and_not_shown(postgresql_url: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE zz (id int PRIMARY KEY)")
    secret = re.sub(r"//([^:@/]*)[^@/]*@", r"//\1:hunter2-0123456789@", postgresql_url)
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            ("The source of truth: address", ""),
            ("nothing was entered; write for example postgresql://USER@HOST/DATABASE, or hubspot", None),
            ("The source of truth: address", "back"),
            ("there is nothing to go back to", None),
            ("The source of truth: address", "Database"),
            ("postgresql://, mysql://", None),
            ("  Address", ""),
            ("nothing was entered; write for example", None),
            ("The source of truth: address", "database"),
            ("  Address", "PostgreSQL"),
            ("postgresql://, mysql://", None),
            ("  Address", secret),
            ("Name in the map", ""),
            ("Time zone of its times", ""),
            ("The system with the copies: address", f"sqlite:///{tmp_path}/warehouse.sqlite"),
            ("Name in the map", ""),
            ("Time zone of its times", ""),
            ("There is nothing to audit yet", None),
            ("Number [1]", ""),
            ("The source of truth: address, hubspot, salesforce or stripe (Enter keeps the one entered)", ""),
            ("Name in the map", ""),
            ("Time zone of its times", INTERRUPT),
        ],
    )
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("DROP TABLE zz")
    assert code == 130, terminal.shown
    assert terminal.shown.count("hunter2") == 1  # as the terminal repeats what is typed


def test_pairs_without_common_records_are_not_proposed(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as warehouse, warehouse:
        warehouse.execute("DELETE FROM dim_customer")
    terminal = Terminal(tmp_path, "init")
    code = talk(
        terminal,
        [
            *connecting(tmp_path),
            ("No pair has records in both systems", None),
            ("No pair is chosen yet. What now?", None),
            ("1: Enter the systems again", None),
            ("Number [1]", "2"),
            ("Pairs to audit, such as 1, 2", ""),
            ("nothing was entered; write the numbers of pairs, such as 1, 2", None),
            ("Number [1]", "2"),
            ("Pairs to audit, such as 1, 2", "1"),
            ("customers and dim_customer have no record in common by this key", None),
            ("Keep pair 1?", ""),
            ("no pair is left; choose another", None),
            ("No pair is chosen yet. What now?", None),
            ("Number [1]", ""),
            *connecting(tmp_path),
            ("Number [1]", "2"),
            ("Pairs to audit, such as 1, 2", "1"),
            ("Keep pair 1?", "y"),
            ("Change it in an editor first?", INTERRUPT),
        ],
    )
    assert code == 130, terminal.shown
    assert "warehouse holds no records that this login may read" in terminal.shown


def test_a_folder_that_does_not_exist_is_told_before_the_first_question(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "no/such/map.yaml")
    assert terminal.end() == 2
    assert "there is no folder no/such; make it first" in terminal.shown


def test_a_folder_is_no_place_for_a_map(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    terminal = Terminal(tmp_path, "init", "maps")
    assert terminal.end() == 2
    assert "maps is a folder; name a file in it, such as maps/plumbline.yaml" in terminal.shown
    done = auditor("init", "maps", cwd=tmp_path)
    assert done.returncode == 2
    assert "maps is a folder; name a file in it, such as maps/plumbline.yaml" in done.stderr


def test_an_existing_map_is_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "plumbline.yaml").write_text("mine\n")
    terminal = Terminal(tmp_path, "init")
    assert terminal.end() == 2
    assert "plumbline.yaml exists, and nothing is changed in it" in terminal.shown
    assert (tmp_path / "plumbline.yaml").read_text() == "mine\n"


def test_a_template_is_written_without_questions(tmp_path: Path) -> None:
    for words in (["--template"], ["--force"], ["--preset", "slack"]):
        assert Terminal(tmp_path, "init", *words).end() == 0
    assert (tmp_path / "plumbline.yaml").read_text() == TEMPLATE
    assert (tmp_path / "slack.yaml").exists()
    assert auditor("init", "--template", cwd=tmp_path).returncode == 2
