"""Every word of the map is obeyed somewhere, or `check` says that it is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from auditor.alerts.delivery import open_senders
from auditor.map import settings
from auditor.map.loader import check_map
from auditor.map.schema import json_schema
from auditor.senders.registry import SENDERS, sender_settings
from checks import fields
from probes import registry
from probes import settings as probe_settings
from probes.http import settings as http_settings
from probes.records.rest import request_template
from tests import HOME
from tests.auditor.cli.process import auditor
from tests.stand import MAP


def own_file(sender: str) -> str:
    module, _, _ = SENDERS[sender]
    return f"{module.replace('.', '/')}.py"


def own_words(sender: str) -> list[str]:
    return [field.alias or name for name, field in sender_settings(sender).model_fields.items()]


OBEYED: dict[str, dict[str, str]] = {
    "AlertRule": {
        "auditor/alerts/signals.py": "divergences clear_after failures",
        "auditor/map/flow.py": "clean_audits",
    },
    "AlertSettings": {
        "auditor/alerts/delivery.py": "dashboard",
        "auditor/senders/registry.py": " ".join(SENDERS),
        "auditor/daemon/daemon.py": "heartbeat",
        "auditor/alerts/reporter.py": "hold",
        "auditor/map/settings.py": "drill routes default maintenance",
    },
    "AnypointMqSettings": {
        "probes/queues/anypoint_mq.py": (
            "role timeout organization environment region queue client_id client_secret peek url broker_url"
        ),
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "BasicAuth": {"probes/http/sign_in.py": "kind user password"},
    "BearerAuth": {"probes/http/sign_in.py": "kind token"},
    "Budget": {
        "auditor/systems/allowance.py": "records_per_s calls_per_day",
        "auditor/systems/caller.py": "connections timeout",
        "probes/settings.py": "calls_per_s calls_per_minute operations",
    },
    "ChangedList": {"probes/records/rest/settings.py": "request records next more until limit"},
    "ClientCredentialsAuth": {
        "probes/http/sign_in.py": "kind token_url parameters client_id client_secret client_auth",
        "probes/http/settings.py": "scope",
    },
    "Computed": {"probes/settings.py": "value from"},
    "Consumer": {
        "auditor/map/consumers.py": "name role reads",
    },
    "Crosswalk": {"auditor/map/settings.py": "system collection key own_key own_key_type"},
    "CurrencyOf": {
        "auditor/map/flow.py": "from",
    },
    "DataType": {
        "auditor/map/flow.py": "owner writers window key_normalize fields business_key rules",
        "auditor/map/settings.py": "key_type key_region",
        "auditor/map/document.py": "consumers description",
        "auditor/systems/live_record.py": "in",
    },
    "DeleteFlag": {"checks/delete_flags.py": "field is optional"},
    "Destination": {"auditor/map/settings.py": "to channel escalate_after escalate_to"},
    "Drill": {
        "auditor/alerts/drill_rule.py": "at within",
        "auditor/daemon/drill.py": "to",
    },
    "FieldRule": {
        "checks/fields.py": (
            "type scale strip casefold strip_accents newlines normalize null_is map currency minor_units factor unit "
            "zone unordered separator items encoding"
        ),
        "checks/equality.py": "tolerance relative_tolerance ulps nan_equal precision",
        "checks/field_text.py": "evidence",
        "checks/records.py": "owner writers valid",
        "auditor/map/flow.py": "compare window",
        "auditor/map/document.py": "description",
    },
    "FlowSettings": {
        "auditor/map/flow.py": ("data_type from to pattern fields window alert idempotency_key side_effects every"),
        "auditor/map/document.py": "direction trigger transformation retry description",
        "auditor/map/review.py": "frequency queues",
        "auditor/audit/queue_audit.py": "sla",
        "auditor/conflicts/policy.py": "conflict_policy merge_function",
        "auditor/alerts/notices.py": "team slack_channel runbook",
        "auditor/audit/flow_audit.py": "sample sampling overlap",
        "auditor/audit/judging.py": "require_every_version",
    },
    "HeaderAuth": {"probes/http/sign_in.py": "kind name value"},
    "JwtBearerAuth": {
        "probes/http/sign_in.py": "kind token_url parameters issuer subject audience private_key key_id claims",
        "probes/http/settings.py": "scope",
    },
    "KafkaSettings": {
        "probes/queues/kafka.py": "role timeout servers security mechanism user password ca group",
        "probes/queues/kafka_driver.py": "topic",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "NatsSettings": {
        "probes/queues/nats.py": "role timeout url stream consumer of",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "Objective": {
        "auditor/alerts/objectives.py": "within_window period strict",
        "auditor/history/objectives.py": "within agreement coverage verified_within",
        "auditor/audit/queue_audit.py": "drop_notice",
        "auditor/map/settings.py": "dead_letters oldest_letter backlog_age backlog_floor backlog_ceiling",
    },
    "OperationLimits": {"probes/settings.py": "calls_per_s calls_per_minute"},
    "MongoDbBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "probes/records/mongodb/settings.py": "changes",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
    },
    "MongoDbSettings": {
        "auditor/map/flow.py": "zone",
        "probes/records/mongodb/probe.py": "budget delay_floor",
        "probes/records/mongodb/session.py": "url read max_staleness read_concern uuid",
        "probes/records/mongodb/settings.py": "database",
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "PubSubSettings": {
        "probes/queues/pubsub.py": "role timeout project subscription credentials endpoint monitoring peek",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "RabbitMqSettings": {
        "probes/queues/rabbitmq.py": "role reason timeout url vhost queue peek",
        "auditor/audit/queue_reading.py": "evidence key",
        "probes/registry.py": "kind",
    },
    "ReadOnlyPost": {
        "probes/records/rest/request_template.py": "read_only_post body",
    },
    "RedisSettings": {
        "probes/queues/redis.py": "role timeout url name group deliveries oldest payload",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "RefreshTokenAuth": {
        "probes/http/sign_in.py": "kind token_url parameters client_id client_secret client_auth refresh_token",
        "probes/http/settings.py": "scope",
    },
    "RestBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
        "probes/records/rest/settings.py": "records record one many list changed batch limit first_page since more "
        "until next",
    },
    "RestSettings": {
        "auditor/map/flow.py": "zone",
        "probes/records/rest/probe.py": "budget delay_floor url headers verify auth retries",
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "HeartbeatSettings": {"auditor/daemon/heartbeat.py": "url", "auditor/daemon/daemon.py": "every"},
    "HubSpotBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
    },
    "HubSpotSettings": {
        "auditor/map/flow.py": "zone",
        "probes/records/hubspot/probe.py": "budget delay_floor",
        "probes/records/hubspot/session.py": "token client_id client_secret refresh_token url retries",
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "SalesforceBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
    },
    "SalesforceSettings": {
        "auditor/map/flow.py": "zone",
        "probes/records/salesforce/probe.py": "budget delay_floor bulk change_events event_bus",
        "probes/records/salesforce/session.py": (
            "url client_id client_secret refresh_token private_key username audience api_version retries"
        ),
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "SalesforceEventsSettings": {
        "probes/queues/salesforce_events.py": "role timeout system topic",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "SamplingPolicies": {
        "auditor/audit/sample.py": "panel recent past_error memory value",
    },
    "ServiceBusSettings": {
        "probes/queues/service_bus.py": "role timeout connection queue topic subscription management",
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "MaintenanceSettings": {
        "auditor/map/settings.py": "name team severity flow data_type system hours weekdays zone reason",
    },
    "RouteSettings": {
        "auditor/map/settings.py": (
            "name team severity flow data_type system hours weekdays zone continue "
            "to channel escalate_after escalate_to"
        ),
    },
    "SqlBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
    },
    "SqlQueueSettings": {
        "probes/queues/sql_queue.py": (
            "role system table letter_id key payload since since_unit reason attempts where"
        ),
        "auditor/audit/queue_reading.py": "evidence",
        "probes/registry.py": "kind",
    },
    "SqlSettings": {
        "probes/records/sql/probe.py": "delay_floor url",
        "probes/records/sql/sessions.py": "budget",
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/flow.py": "zone",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "SqsSettings": {
        "probes/queues/sqs.py": (
            "role timeout queue_url region access_key secret_key endpoint peek cloudwatch cloudwatch_endpoint"
        ),
        "auditor/audit/queue_reading.py": "evidence key reason",
        "probes/registry.py": "kind",
    },
    "StripeBinding": {
        "probes/settings.py": "collection key changed_at changed_at_unit version fields computed",
        "auditor/map/flow.py": "absent deleted",
        "auditor/map/settings.py": "crosswalk key_written",
        "auditor/map/record_links.py": "link",
    },
    "StripeSettings": {
        "auditor/map/flow.py": "zone",
        "probes/records/stripe/probe.py": "budget delay_floor",
        "probes/records/stripe/session.py": "key account api_version url retries",
        "auditor/audit/flow_audit.py": "clock_slack",
        "auditor/map/record_links.py": "link",
        "auditor/map/document.py": "description",
        "probes/registry.py": "kind",
    },
    "Validity": {
        "checks/validity.py": "required min max one_of matches",
    },
    "ValuePolicy": {
        "auditor/audit/sample.py": "field above share",
    },
    # What is said of a sender is read in its own file.
    **{sender_settings(name).__name__: {own_file(name): " ".join(own_words(name))} for name in SENDERS},
}
"""By model and by module that acts on them, the words of the map."""


def model_of(name: str) -> type[BaseModel]:
    kinds = [registry.record_settings(kind) for kind in registry.RECORD_KINDS]
    kinds += [registry.record_binding(kind) for kind in registry.RECORD_KINDS]
    kinds += [registry.queue_settings(kind) for kind in registry.QUEUE_KINDS]
    kinds += [sender_settings(name) for name in SENDERS]
    found = next((kind for kind in kinds if kind.__name__ == name), None)
    for place in (settings, probe_settings, fields, request_template, http_settings):
        found = found or getattr(place, name, None)
    assert found is not None, name
    return found


MODELS = {name: shape["properties"] for name, shape in json_schema()["$defs"].items() if "properties" in shape}


@pytest.mark.parametrize("name", MODELS)
def test_every_word_names_who_obeys_it(name: str) -> None:
    listed = [word for words in OBEYED.get(name, {}).values() for word in words.split()]
    assert sorted(listed) == sorted(MODELS[name]), "put a new word into OBEYED, under the module that acts on it"


@pytest.mark.parametrize(("name", "module"), [(name, module) for name, places in OBEYED.items() for module in places])
def test_who_is_named_reads_the_word(name: str, module: str) -> None:
    source = (HOME / module).read_text()
    attributes = {field.alias or attribute: attribute for attribute, field in model_of(name).model_fields.items()}
    for word in OBEYED[name][module].split():
        assert re.search(rf"\.{attributes[word]}\b", source), word


def remarks(tmp_path: Path, *changes: tuple[str, str], alerts: str = "") -> dict[str, str]:
    text = MAP.replace("${PLACE}", str(tmp_path))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "map.yaml"
    file.write_text(text + alerts)
    loaded, found = check_map(file, {})
    assert loaded.flows
    return {each.path: each.message for each in found}


SLACK = 'alerts: {slack: {webhook: "https://hooks.example/x"}}\n'
HOOK = 'alerts: {webhook: {url: "https://hooks.example/x"}}\n'
BOT = "alerts: {slack_bot: {token: xoxb-1, channel: '#ops', may_act: [U012AB3CD]}}\n"
EVERY = "    every: 1s\n"
CRM = "  crm: {kind: sql, "
ORG = "  org: {kind: salesforce, url: 'https://a.my.salesforce.com', client_id: a, client_secret: b"
SEARCHES = "budget: {operations: {search: {calls_per_minute: 30}}}"
FIELDS = "    fields:\n"
ONE_FIELD = (EVERY, EVERY + "    fields: [name]\n")
BILLING = "billing: {collection: customers, key: id}"
WAITING = "      waiting: {kind: sql_queue, system: crm, table: q, role: main, reason: why}\n"


def test_a_map_all_of_whose_words_act_has_no_remark(tmp_path: Path) -> None:
    assert remarks(tmp_path) == {}


@pytest.mark.parametrize(
    ("path", "said", "changes", "alerts"),
    [
        (
            "systems.crm.budget.calls_per_day",
            "changes are listed 86,400 times a day, which is more than is allowed",
            [(CRM, CRM + "budget: {calls_per_day: 15000}, ")],
            "",
        ),
        (
            "systems.crm.budget.operations.search.calls_per_minute",
            "changes are listed 60 times a minute, which is more",
            [
                (CRM, f"  crm: {{kind: hubspot, token: x, {SEARCHES}}}\n  old: {{kind: sql, "),
                ("window: 4s", "window: 1h"),
            ],
            "",
        ),
        (
            "flows.to_billing.slack_channel",
            "Slack ignores it",
            [(EVERY, EVERY + '    slack_channel: "#x"\n')],
            SLACK,
        ),
        ("flows.to_billing.slack_channel", "no one is notified", [(EVERY, EVERY + '    slack_channel: "#x"\n')], ""),
        ("flows.to_billing.runbook", "none are sent", [(EVERY, EVERY + '    runbook: "https://x"\n')], ""),
        (
            "flows.to_billing.runbook",
            "become a link",
            [(EVERY, EVERY + '    runbook: "javascript:alert(1)"\n')],
            SLACK,
        ),
        ("flows.to_billing.runbook", "become a link", [(EVERY, EVERY + '    runbook: "see page 7"\n')], SLACK),
        ("systems.org.change_events", "no flow starts there", [(CRM, ORG + ", change_events: true}\n" + CRM)], ""),
        ("alerts.slack_bot.may_act", "app_token is not set", [], BOT),
        ("alerts.dashboard", "only messages to Slack", [], HOOK.replace("}}", '}, dashboard: "http://x"}')),
        (
            "flows.to_billing.idempotency_key",
            "'customer id' is not a field",
            [(EVERY, EVERY + "    idempotency_key: customer id\n")],
            "",
        ),
        (
            "flows.to_billing.sla.dead_letters",
            "no queue of role dead",
            [("    queues:\n      dead: ", "    queues:\n      main: "), ("error}", "error, role: main}")],
            "",
        ),
        (
            "flows.to_billing.sla.backlog_ceiling",
            "no queue of role main",
            [("dead_letters: 1", "dead_letters: 1, backlog_ceiling: 9")],
            "",
        ),
        (
            "flows.to_billing.queues.waiting.reason",
            "this one is main",
            [("    queues:\n", "    queues:\n" + WAITING)],
            "",
        ),
        (
            "data_types.customer.in.billing.fields.name",
            "never computed",
            [(BILLING, BILLING.replace("}", ', fields: {name: "lower(mail)"}}'))],
            "",
        ),
        (
            "flows.to_billing.frequency",
            "not understood",
            [(EVERY, EVERY + "    frequency: now and then\n"), ("pattern: real-time", "pattern: batch")],
            "",
        ),
        ("flows.to_billing.direction", "it grants nothing", [(EVERY, EVERY + "    direction: two-way\n")], ""),
        (
            "flows.to_billing.overlap",
            "crm has no changed_at",
            [(EVERY, EVERY + "    overlap: 30s\n"), (", changed_at: updated_at", "")],
            "",
        ),
        (
            "data_types.customer.business_key",
            "no flow compares all",
            [(FIELDS, "    business_key: [amount]\n" + FIELDS), ONE_FIELD],
            "",
        ),
        (
            "data_types.customer.rules.paid",
            "it is never checked",
            [(FIELDS, '    rules: {paid: "amount > 0"}\n' + FIELDS), ONE_FIELD],
            "",
        ),
        ("data_types.customer.fields.amount", "no flow compares it", [ONE_FIELD], ""),
        (
            "flows.to_billing.sla.within_window",
            "no change has a deadline",
            [("window: 4s", "window: none"), ("dead_letters: 1", "dead_letters: 1, within_window: 0.9")],
            "",
        ),
    ],
)
def test_check_says_which_words_change_nothing(
    path: str, said: str, changes: list[tuple[str, str]], alerts: str, tmp_path: Path
) -> None:
    assert said in remarks(tmp_path, *changes, alerts=alerts)[path]


@pytest.mark.parametrize(
    "changes",
    [
        [(EVERY, EVERY + "    idempotency_key: name\n")],
        [(EVERY, EVERY + '    frequency: "0 * * * *"\n'), ("pattern: real-time", "pattern: batch")],
        [(EVERY, EVERY + "    frequency: on every change\n")],
        [(BILLING, BILLING.replace("}", ', fields: {name: "full name"}}'))],
    ],
)
def test_words_that_act_are_not_remarked_on(changes: list[tuple[str, str]], tmp_path: Path) -> None:
    assert remarks(tmp_path, *changes) == {}


def test_flows_of_one_data_type_list_its_changes_once(tmp_path: Path) -> None:
    limited = (CRM, CRM + "budget: {calls_per_minute: 60}, ")
    flow = "data_type: customer, from: crm, to: billing, pattern: real-time, every: 1s"
    assert remarks(tmp_path, limited, ("flows:\n", f"flows:\n  again: {{{flow}}}\n")) == {}


def test_a_channel_is_passed_on_to_a_webhook(tmp_path: Path) -> None:
    assert remarks(tmp_path, (EVERY, EVERY + '    slack_channel: "#x"\n'), alerts=HOOK) == {}
    loaded, _ = check_map(tmp_path / "map.yaml", {})
    assert list(open_senders(loaded.alerts)) == ["webhook"]


def test_check_prints_them_and_the_map_is_valid_all_the_same(tmp_path: Path) -> None:
    text = MAP.replace("${PLACE}", str(tmp_path)).replace(EVERY, EVERY + "    direction: two-way\n")
    (tmp_path / "plumbline.yaml").write_text(text)
    told = auditor("check", cwd=tmp_path)
    assert told.returncode == 0
    assert re.search(r"plumbline.yaml:\d+:\d+ flows.to_billing.direction: note: it grants nothing", told.stdout)
    (remark,) = json.loads(auditor("check", "--json", cwd=tmp_path).stdout)["remarks"]
    assert remark["path"] == "flows.to_billing.direction"
