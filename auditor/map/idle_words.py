"""Settings of a map that are valid but have no effect: the remarks of `auditor check`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from auditor.map.review import rhythm_s
from auditor.map.route_mistakes import route_remarks
from auditor.map.settings import Destination, FlowSettings
from auditor.senders.registry import SENDERS, sender_settings
from auditor.senders.slack_bot import SlackBotSettings
from probes.registry import record_kind
from probes.settings import Binding, Budget

Path_ = tuple[str | int, ...]

DEAD_WORDS = ("dead_letters", "oldest_letter_s", "drop_notice_s")
"""Settings of an objective about dead letters."""

BACKLOG_WORDS = ("backlog_age_s", "backlog_floor", "backlog_ceiling")
"""Settings of an objective about waiting messages."""


LISTS_CHANGES = frozenset({"changed", "search"})
"""Operations that list changes."""


EXPRESSION = re.compile(r"^\s*\w+\s*\(.*\)\s*$|\|\||::|\s(?:as|AS|collate|COLLATE)\s", re.DOTALL)
"""Texts that look like an SQL expression."""


ADDRESS = re.compile(r"https?://.+", re.DOTALL)
"""Schemes that pages and messages turn into links; a browser would execute some of the others."""

NO_ADDRESS = "it does not become a link: write an address that begins with https:// or http://"


def idle_words(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """Settings of a valid map that have no effect, each with its path and the reason."""
    yield from _alert_words(integration_map)
    yield from route_remarks(integration_map)
    for name, settings in integration_map.systems.items():
        if getattr(settings, "change_events", False) and not any(
            each.from_ == name for each in integration_map.flows.values()
        ):
            yield ("systems", name, "change_events"), "no flow starts there, so no change is waited for"
        yield from _budget_words(name, settings.budget, integration_map)
    for name in integration_map.data_types:
        yield from _data_type_words(name, integration_map)
    for (data_type, system), binding in integration_map.bindings.items():
        if getattr(binding, "changed", None) is not None and not (binding.changed_at or binding.version):
            yield (
                ("data_types", data_type, "in", system, "changed"),
                "changes are never asked for: set changed_at or version, the field that says when a record changed",
            )
        if record_kind(integration_map.systems[system]).names_columns:
            for path, column in _columns(binding):
                if EXPRESSION.search(column):
                    yield (
                        ("data_types", data_type, "in", system, *path),
                        f"{column!r} is looked up as a column of exactly this name and never computed; write the "
                        "expression under computed:, in CEL, or offer it as a column of a view",
                    )
    for name in integration_map.flows:
        flow = integration_map.flow(name)
        for path, message in (
            *_objective_words(flow),
            *_queue_words(flow, integration_map),
            *_people_words(flow, integration_map),
            *_audit_words(flow),
        ):
            yield ("flows", name, *path), message


_PER = {1.0: "a second", 60.0: "a minute", 86_400.0: "a day"}


def _budget_words(name: str, budget: Budget, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """A limit of calls that keeps flows from listing changes as often as they say.

    Flows of one data type share their lists.
    """
    rates: dict[str, float] = {}
    for each in integration_map.flows:
        flow = integration_map.flow(each)
        if flow.source_name == name and flow.source_spec.finds_changes:
            data_type = flow.settings.data_type
            rates[data_type] = max(rates.get(data_type, 0.0), 1 / flow.every_s)
    asked_per_s = sum(rates.values())
    limits: dict[Path_, tuple[int, float]] = {(word,): limit for word, limit in budget.call_limits.items()}
    for operation in LISTS_CHANGES & budget.operations.keys():
        of_operation = budget.operations[operation].call_limits
        limits |= {("operations", operation, word): limit for word, limit in of_operation.items()}
    for path, (limit, seconds) in limits.items():
        if asked_per_s * seconds > limit:
            yield (
                ("systems", name, "budget", *path),
                f"as often as every: says, changes are listed {asked_per_s * seconds:,.0f} times {_PER[seconds]}, "
                "which is more than is allowed, so they are listed less often, and flows are unverified in between; "
                "set a longer every: or a higher limit",
            )


def _columns(binding: Binding) -> Iterator[tuple[Path_, str]]:
    for key in binding.key_fields:
        yield ("key",), key
    for word in ("changed_at", "version"):
        if named := getattr(binding, word):
            yield (word,), named
    for field, column in binding.fields.items():
        yield ("fields", field), column
    for field, computed in binding.computed.items():
        for column in computed.expression.fields:
            yield ("computed", field), column
    if binding.deleted is not None:
        yield ("deleted",), binding.deleted.field


def _alert_words(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    alerts = integration_map.alerts
    if alerts.dashboard is not None and not any(each.links for each in alerts.senders.values()):
        linking = [name for name in SENDERS if sender_settings(name).links]
        titles = " and ".join(sender_settings(name).title for name in linking)
        unset = " or ".join(f"alerts.{name}" for name in linking)
        yield ("alerts", "dashboard"), f"only messages to {titles} carry links, and {unset} is not set"
    if alerts.drill is not None and alerts.held_drill is None:
        yield ("alerts", "drill", "to"), f"no drill is held: alerts.{alerts.drill.to} is not set"
    for name, sender in alerts.senders.items():
        if isinstance(sender, SlackBotSettings) and sender.may_act is not None and not sender.listens:
            yield ("alerts", name, "may_act"), "messages have no buttons: app_token is not set"
    destinations: list[tuple[Path_, Destination]] = [
        (("alerts", "routes", position, "to"), route) for position, route in enumerate(alerts.routes)
    ]
    if alerts.default is not None:
        destinations.append((("alerts", "default", "to"), alerts.default))
    for path, each in destinations:
        if alerts.senders and alerts.senders.keys().isdisjoint(each.to):
            unset = " or ".join(f"alerts.{name}" for name in each.to)
            yield path, f"{unset} is not set, so its incidents are reported as if this were not here"


def _data_type_words(name: str, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    data_type = integration_map.data_types[name]
    flows = [integration_map.flow(flow) for flow, each in integration_map.flows.items() if each.data_type == name]
    path: Path_ = ("data_types", name)
    if not flows:
        yield path, "no flow moves it, so nothing of it is audited"
        return
    if data_type.business_key and not any("business key" in flow.unique_keys for flow in flows):
        yield (
            (*path, "business_key"),
            f"no flow compares all of {', '.join(data_type.business_key)}, so duplicates are not looked for by it",
        )
    checked = {rule for flow in flows for rule in flow.validity.expressions}
    for rule in data_type.rules:
        if rule not in checked:
            yield (*path, "rules", rule), "no flow compares all the fields it names, so it is never checked"
    compared = {field for flow in flows for field in flow.field_names}
    for field, described in data_type.fields.items():
        if described.compare and field not in compared:
            yield (*path, "fields", field), "no flow compares it"
        own_s = described.window_s
        if own_s is not None and not any(flow.window_s < own_s for flow in flows if field in flow.field_names):
            yield (
                (*path, "fields", field, "window"),
                "is not longer than the window of any flow that compares it, so it gives the field no more time",
            )


def _objective_words(flow: Flow) -> Iterator[tuple[Path_, str]]:
    written = flow.settings.sla.model_fields_set
    roles = _roles(flow.settings)
    for words, watched, role in ((DEAD_WORDS, "dead" in roles, "dead"), (BACKLOG_WORDS, roles - {"dead"}, "main")):
        for word in words:
            if word in written and not watched:
                yield (
                    ("sla", word.removesuffix("_s")),
                    f"queues: names no queue of role {role}, so it has nothing to apply to",
                )
    if "within_window" in written and not flow.window_s:
        yield ("sla", "within_window"), "the window is none, so no change has a deadline"


def _roles(settings: FlowSettings) -> set[str]:
    return {str(queue.get("role", "dead")) for queue in settings.queues.values() if isinstance(queue, dict)}


def _queue_words(flow: Flow, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    for (owner, name), queue in integration_map.queues.items():
        if owner != flow.name or queue.role == "dead":
            continue
        for word in ("evidence", "key", "reason", "peek", "letter_id", "payload", "attempts"):
            if word in queue.model_fields_set:
                yield (
                    ("queues", name, word),
                    f"letters are only read in queues of role dead; this one is {queue.role}",
                )


def _people_words(flow: Flow, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    settings, senders = flow.settings, integration_map.alerts.senders
    if settings.slack_channel and not senders:
        yield ("slack_channel",), "no one is notified of incidents: the map has no alerts:"
    elif settings.slack_channel:
        also = "".join(
            f"; alerts.{name} gets it with each notice" for name, each in senders.items() if not each.ignores_channel
        )
        for each in senders.values():
            if each.ignores_channel:
                yield ("slack_channel",), f"{each.title} ignores it: {each.ignores_channel}{also}"
    if settings.runbook and not senders:
        yield ("runbook",), "it appears in messages, and none are sent: the map has no alerts:"
    elif (
        settings.runbook and any(each.links for each in senders.values()) and not ADDRESS.fullmatch(settings.runbook)
    ):
        yield ("runbook",), NO_ADDRESS
    if settings.idempotency_key and settings.idempotency_key not in flow.field_names:
        yield (
            ("idempotency_key",),
            f"{settings.idempotency_key!r} is not a field that this flow compares, so its uniqueness is not "
            "checked; it is only shown with the side effects that a replay repeats",
        )
    if settings.frequency and settings.pattern == "batch" and rhythm_s(settings.frequency) is None:
        yield (
            ("frequency",),
            "not understood, so the window is not compared with it; write every 15m, say, or five fields of cron",
        )


def _audit_words(flow: Flow) -> Iterator[tuple[Path_, str]]:
    settings = flow.settings
    if settings.direction == "two-way" and not flow.target_may_write:
        yield (
            ("direction",),
            f"it grants nothing: name {flow.target_name} under writers: of {settings.data_type}, or writes there "
            "are reported as foreign writes",
        )
    if "overlap_s" in settings.model_fields_set and not flow.source_spec.changed_at:
        yield (
            ("overlap",),
            f"it is for owners that are asked for changes since an instant, and {flow.source_name} has no changed_at",
        )
