"""Where a module's tests stand: in the file of its name, or where a reason says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests import HOME
from tests.conftest import BROWSERS

ROOMS = (
    *("auditor/alerts", "auditor/audit", "auditor/cli", "auditor/conflicts", "auditor/console", "auditor/daemon"),
    *("auditor/dashboard", "auditor/history", "auditor/ledger", "auditor/map", "auditor/senders", "auditor/setup"),
    *("auditor/storage", "auditor/systems", "checks", "probes"),
)
"""Folders in which every module has a test file of its name, at the same place in `tests/`, or a reason."""

ELSEWHERE: dict[str, dict[str, str]] = {
    "it holds values or tables alone, which the tests of whoever makes them compare": {
        "auditor/audit/case.py": "auditor/audit/test_judging.py",
        "auditor/audit/gathered.py": "auditor/audit/test_reading.py",
        "auditor/audit/result.py": "auditor/audit/test_flow_audit.py",
        "auditor/conflicts/proposal.py": "auditor/conflicts/test_repair.py",
        "auditor/console/allowed_functions.py": "auditor/console/test_query.py",
        "auditor/console/limits.py": "auditor/console/test_query.py",
        "auditor/history/views.py": "auditor/history/test_lens.py",
        "auditor/ledger/flow_state.py": "auditor/ledger/test_flows.py",
        "auditor/ledger/record_rows.py": "auditor/ledger/test_records.py",
        "auditor/map/integration_map.py": "auditor/map/test_flow.py",
        "auditor/map/problems.py": "auditor/map/test_loader.py",
        "auditor/map/settings.py": "auditor/map/test_loader.py",
        "auditor/senders/contract.py": "auditor/senders/test_senders.py",
        "auditor/setup/setup_error.py": "auditor/setup/test_addresses.py",
        "auditor/senders/heartbeat.py": "auditor/daemon/test_heartbeat.py",
        "auditor/storage/archivable.py": "auditor/history/test_archive_files.py",
        "auditor/storage/ledger_error.py": "auditor/ledger/test_failures.py",
        "auditor/systems/health.py": "auditor/systems/test_reader.py",
        "auditor/systems/matches.py": "auditor/systems/test_discovery.py",
        "checks/breaches.py": "checks/test_incidents.py",
        "checks/cause.py": "checks/test_causes.py",
        "checks/comparison.py": "checks/test_records.py",
        "checks/currencies.py": "checks/test_values.py",
        "checks/estimates.py": "checks/test_intervals.py",
        "checks/lag_cells.py": "checks/test_lag.py",
        "checks/queue_states.py": "checks/test_queue_health.py",
        "checks/record_history.py": "checks/test_judgement.py",
        "checks/tables.py": "test_tables.py",
        "checks/terms.py": "checks/test_judgement.py",
        "probes/contract.py": "probes/records/test_record_probes.py",
        "probes/queue_contract.py": "probes/queues/test_queue_faults.py",
        "probes/settings.py": "auditor/map/test_loader.py",
        "probes/http/line.py": "probes/http/test_transport.py",
        "probes/records/sql/settings.py": "probes/records/sql/test_probe.py",
    },
    "it is one step of a whole, and the tests ask what the whole came to": {
        "auditor/alerts/delivery_rule.py": "auditor/alerts/test_delivery.py",
        "auditor/alerts/silent.py": "auditor/cli/test_incidents.py",
        "auditor/alerts/unrecorded.py": "auditor/daemon/test_trouble.py",
        "auditor/audit/letter_scan.py": "auditor/history/test_letters.py",
        "auditor/audit/listing.py": "auditor/audit/test_unlisted.py",
        "auditor/audit/once.py": "auditor/audit/test_owner_reads.py",
        "auditor/audit/queue_audit.py": "auditor/history/test_letters.py",
        "auditor/audit/queue_reading.py": "auditor/history/test_letters.py",
        "auditor/audit/recording.py": "auditor/audit/test_flow_audit.py",
        "auditor/audit/sample_counts.py": "auditor/audit/test_sample.py",
        "auditor/audit/sweep.py": "auditor/audit/test_sample.py",
        "auditor/conflicts/brief.py": "auditor/conflicts/test_decisions.py",
        "auditor/conflicts/held_values.py": "auditor/conflicts/test_repair.py",
        "auditor/conflicts/policy.py": "auditor/conflicts/test_decisions.py",
        "auditor/conflicts/repair_formats.py": "auditor/conflicts/test_repair.py",
        "auditor/console/answers.py": "auditor/console/test_query.py",
        "auditor/storage/strict_json.py": "auditor/cli/test_query.py",
        "auditor/console/ledger_rows.py": "auditor/console/test_query.py",
        "auditor/console/query_plan.py": "auditor/console/test_query.py",
        "auditor/console/sandbox.py": "auditor/console/test_query.py",
        "auditor/console/statement.py": "auditor/console/test_query.py",
        "auditor/daemon/ledger_watch.py": "auditor/daemon/test_trouble.py",
        "auditor/daemon/messages.py": "auditor/daemon/test_daemon.py",
        "auditor/daemon/serving.py": "auditor/daemon/test_reloading.py",
        "auditor/audit/tenure.py": "auditor/ledger/test_lease.py",
        "auditor/cli/questions.py": "auditor/cli/test_init.py",
        "auditor/cli/system_questions.py": "auditor/cli/test_init.py",
        "auditor/dashboard/map_panel.py": "auditor/dashboard/test_map_page.py",
        "auditor/dashboard/queries.py": "auditor/dashboard/test_pages.py",
        "auditor/dashboard/setup_connect.py": "auditor/dashboard/test_setup_page.py",
        "auditor/dashboard/setup_progress.py": "auditor/dashboard/test_setup_page.py",
        "auditor/dashboard/setup_verdicts.py": "auditor/dashboard/test_setup_page.py",
        "auditor/dashboard/saving.py": "auditor/dashboard/test_query_page.py",
        "auditor/history/archive.py": "auditor/history/test_archive_files.py",
        "auditor/history/backlogs.py": "auditor/history/test_letters.py",
        "auditor/history/findings.py": "auditor/history/test_figure_text.py",
        "auditor/ledger/conflicts.py": "auditor/conflicts/test_decisions.py",
        "auditor/ledger/identities.py": "auditor/audit/test_memory.py",
        "auditor/cli/acting.py": "auditor/cli/test_incidents.py",
        "auditor/cli/silences.py": "auditor/cli/test_incidents.py",
        "auditor/alerts/leftovers.py": "auditor/alerts/test_reporter.py",
        "auditor/alerts/past_misses.py": "auditor/alerts/test_reporter.py",
        "auditor/alerts/own_notice.py": "auditor/daemon/test_watchdog.py",
        "auditor/alerts/signals.py": "auditor/alerts/test_delivery.py",
        "probes/records/rest/record_keys.py": "probes/records/rest/test_keys_of_several_fields.py",
        "probes/records/salesforce/payloads.py": "probes/records/salesforce/test_change_events.py",
        "auditor/ledger/breaches.py": "auditor/alerts/test_reporter.py",
        "auditor/ledger/expected_records.py": "auditor/desk/test_desk.py",
        "auditor/ledger/incidents.py": "auditor/alerts/test_reporter.py",
        "auditor/ledger/silences.py": "auditor/desk/test_desk.py",
        "auditor/ledger/ledger.py": "auditor/ledger/test_store.py",
        "auditor/ledger/measurements.py": "auditor/alerts/test_objectives.py",
        "auditor/ledger/outbox.py": "auditor/alerts/test_delivery.py",
        "auditor/ledger/statements.py": "auditor/ledger/test_store.py",
        "auditor/ledger/transaction.py": "auditor/ledger/test_store.py",
        "auditor/map/blind_spots.py": "auditor/audit/test_unlisted.py",
        "auditor/map/consumers.py": "auditor/history/test_misled.py",
        "auditor/map/diagram.py": "auditor/map/test_document.py",
        "auditor/map/diff.py": "auditor/map/test_document.py",
        "auditor/map/map_reader.py": "auditor/map/test_loader.py",
        "auditor/map/mistakes.py": "auditor/map/test_yaml_document.py",
        "auditor/map/schema.py": "auditor/map/test_loader.py",
        "auditor/map/secrets.py": "auditor/systems/test_echoes.py",
        "auditor/map/validation.py": "auditor/map/test_loader.py",
        "auditor/senders/json_post.py": "auditor/senders/test_webhook.py",
        "auditor/senders/registry.py": "auditor/senders/test_senders.py",
        "auditor/systems/batches.py": "auditor/systems/test_reader.py",
        "auditor/systems/caller.py": "auditor/systems/test_reader.py",
        "auditor/systems/live_record.py": "auditor/dashboard/test_record_links.py",
        "auditor/systems/pool.py": "auditor/daemon/test_stopping.py",
        "auditor/systems/proposed_map.py": "auditor/systems/test_discovery.py",
        "checks/differences.py": "checks/test_values.py",
        "checks/divergences.py": "checks/test_judgement.py",
        "checks/equality.py": "checks/test_values.py",
        "checks/escalation.py": "auditor/conflicts/test_decisions.py",
        "checks/field_text.py": "checks/test_further_types.py",
        "checks/fields.py": "checks/test_values.py",
        "checks/keys.py": "auditor/audit/test_odd_text.py",
        "checks/numbers.py": "checks/test_values.py",
        "checks/per_system.py": "auditor/map/test_loader.py",
        "checks/queue_figures.py": "auditor/audit/test_letter_attacks.py",
        "checks/sides.py": "checks/test_records.py",
        "probes/addresses.py": "probes/test_secrets.py",
        "probes/deadline.py": "probes/test_call_deadline.py",
        "probes/durations.py": "auditor/map/test_loader.py",
        "probes/guarded_socket.py": "probes/queues/test_redis.py",
        "probes/http/authentication.py": "probes/http/test_transport.py",
        "probes/http/grants.py": "probes/http/test_tokens.py",
        "probes/http/header_times.py": "probes/http/test_transport.py",
        "probes/http/sign_in.py": "probes/http/test_settings.py",
        "probes/http/token_endpoint.py": "probes/http/test_tokens.py",
        "probes/json_paths.py": "probes/test_patterns.py",
        "probes/queues/bounded_aws.py": "probes/queues/test_sqs.py",
        "probes/queues/bounded_google.py": "probes/queues/test_pubsub.py",
        "probes/records/alike_keys.py": "probes/records/rest/test_odd_keys.py",
        "probes/records/unranked.py": "probes/records/test_record_probes.py",
        "probes/records/sql/collection.py": "probes/records/sql/test_probe.py",
        "probes/records/mongodb/settings.py": "probes/records/mongodb/test_probe.py",
        "probes/records/hubspot/catalogue.py": "probes/records/hubspot/test_probe.py",
        "probes/records/hubspot/changes.py": "probes/records/hubspot/test_probe.py",
        "probes/records/stripe/changes.py": "probes/records/stripe/test_probe.py",
        "probes/records/stripe/listing.py": "probes/records/stripe/test_probe.py",
        "probes/records/stripe/money.py": "probes/records/stripe/test_probe.py",
        "probes/records/stripe/paths.py": "probes/records/stripe/test_probe.py",
        "probes/records/stripe/session.py": "probes/records/stripe/test_probe.py",
        "probes/records/mongodb/failures.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/driver.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/documents.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/changes.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/description.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/order.py": "probes/records/mongodb/test_probe.py",
        "probes/records/mongodb/session.py": "probes/records/mongodb/test_faults.py",
        "probes/records/rest/request_template.py": "probes/records/rest/test_odd_keys.py",
        "probes/records/sql/bounded_drivers.py": "probes/records/sql/test_bounded_sql.py",
        "probes/records/sql/catalogue.py": "probes/records/sql/test_grants.py",
        "probes/records/sql/identifiers.py": "probes/records/sql/test_literals.py",
        "probes/records/sql/key_cursors.py": "probes/records/sql/test_probe.py",
        "probes/records/sql/names.py": "probes/records/sql/test_odd_names.py",
        "probes/records/sql/queue_table.py": "probes/queues/test_sql_queue.py",
        "probes/records/sql/read_only.py": "probes/records/sql/test_sessions.py",
        "probes/records/sql/statements.py": "auditor/conflicts/test_repair.py",
        "probes/registry.py": "probes/records/test_record_probes.py",
    },
    "every dialect is asked the same questions by the tests of the reader": {
        "probes/records/sql/dialects/dialect.py": "probes/records/sql/test_probe.py",
        "probes/records/sql/dialects/mysql.py": "probes/records/sql/test_probe.py",
        "probes/records/sql/dialects/postgresql.py": "probes/records/sql/test_probe.py",
        "probes/records/sql/dialects/sqlite.py": "probes/records/sql/test_probe.py",
    },
    "it is run as people run it: by a command": {
        "auditor/cli/documents.py": "auditor/cli/test_audits.py",
        "auditor/cli/serve.py": "auditor/dashboard/test_access.py",
        "auditor/cli/tables.py": "auditor/cli/test_figures.py",
        "auditor/cli/watchdog.py": "auditor/daemon/test_watchdog.py",
    },
    "it is seen as people see it: on a page": {
        **{
            f"auditor/dashboard/{name}.py": "auditor/dashboard/test_pages.py"
            for name in ("components", "frames", "navigation")
        },
        **{
            f"auditor/dashboard/pages/{name}.py": f"auditor/dashboard/test_{name}_page.py"
            for name in (
                *("conflicts", "dead_letters", "demo", "drift", "incidents", "lag", "map", "overview", "query"),
                *("record", "setup", "sla"),
            )
        },
        "auditor/dashboard/pages/configuration.py": "auditor/dashboard/test_configuration.py",
        "auditor/dashboard/cookies.py": "auditor/dashboard/test_oidc.py",
        "auditor/dashboard/setup_code.py": "auditor/dashboard/test_setup_page.py",
        "auditor/dashboard/guard.py": "auditor/dashboard/test_access.py",
        "auditor/dashboard/log_lines.py": "auditor/test_shown_texts.py",
        "auditor/dashboard/serving.py": "auditor/dashboard/test_access.py",
        "auditor/dashboard/side_by_side.py": "auditor/dashboard/test_record_links.py",
        "auditor/dashboard/site/app.py": "auditor/dashboard/test_access.py",
        "auditor/dashboard/site/pages.py": "auditor/dashboard/test_access.py",
    },
}
"""By reason, modules without a test file of their name, and the file whose tests hold them."""

ASIDE = {module: test for held in ELSEWHERE.values() for module, test in held.items()}

NAMED = re.compile(r"(?:auditor|probes)(?:\.\w+)+(?::\w+)?")
"""A module, or a name of it, as registries write it."""

STARTED = (
    "auditor.__main__",
    *(
        str(path.relative_to(HOME)).removesuffix(".py").replace("/", ".")
        for folder in ("pages", "site")
        for path in sorted((HOME / "auditor" / "dashboard" / folder).glob("*.py"))
    ),
)
"""What a test reaches that starts a command or a page instead of importing it."""


def modules() -> list[str]:
    """The modules of the rooms, as paths; migrations and tables are held by tests/auditor/ledger/test_database.py."""
    found = (path for room in ROOMS for path in sorted((HOME / room).rglob("*.py")))
    return [
        str(path.relative_to(HOME))
        for path in found
        if not path.name.startswith("__") and not {"migrations", "tables"} & {*path.parts}
    ]


def file_for(module: str) -> str:
    """Where the tests of a module stand, below `tests/`."""
    path = Path(module)
    return str(path.with_name(f"test_{path.name}"))


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module of this repository imports of it, wherever in the module."""
    path = HOME / (module.replace(".", "/") + ".py")
    path = path if path.exists() else HOME / module.replace(".", "/") / "__init__.py"
    if not path.exists():
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.fullmatch(node.value):
            found.add(node.value.partition(":")[0])  # by a registry
    return frozenset(each for each in found if each.split(".")[0] in {"auditor", "checks", "probes", "tests", "app"})


def reached_from(test: str) -> set[str]:
    """Everything that a test file imports, or starts as a process, however far its imports reach."""
    reached: set[str] = set()
    text = (HOME / "tests" / test).read_text()
    starts = "AppTest" in text or "auditor(" in text or "Served" in text or "subprocess" in text or "screens" in text
    starts = starts or "page_runs" in text
    left = {f"tests.{test[:-3].replace('/', '.')}", *(STARTED if starts else ())}
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left |= imports_of(module)
    return reached


def test_every_module_has_a_file_for_its_name_or_a_reason() -> None:
    lacking = [each for each in modules() if not (HOME / "tests" / file_for(each)).exists()]
    assert [each for each in lacking if each not in ASIDE] == []


def test_no_reason_is_stale() -> None:
    assert [each for each in ASIDE if each not in modules()] == []
    assert [each for each in ASIDE if (HOME / "tests" / file_for(each)).exists()] == []
    assert sum(map(len, ELSEWHERE.values())) == len(ASIDE)


@pytest.mark.parametrize("test", sorted({*ASIDE.values()}))
def test_the_file_that_is_named_instead_reaches_the_module(test: str) -> None:
    reached = reached_from(test)
    named = {module[:-3].replace("/", ".") for module, held_by in ASIDE.items() if held_by == test}
    assert named - reached == set()


def test_whoever_opens_a_browser_is_run_with_the_others_that_do() -> None:
    """By its mark, or by asking for a fixture of the names that `tests/conftest.py` marks."""
    unmarked = []
    for file in (HOME / "tests").rglob("test_*.py"):
        for each in ast.parse(file.read_text()).body:
            called = {ast.unparse(call.func) for call in ast.walk(each) if isinstance(call, ast.Call)}
            if isinstance(each, ast.FunctionDef) and "chromium" in called:
                marked = "pytest.mark.browser" in map(ast.unparse, each.decorator_list)
                if not marked and each.name not in BROWSERS:
                    unmarked.append(f"{file.name}: {each.name}")
    assert unmarked == []
