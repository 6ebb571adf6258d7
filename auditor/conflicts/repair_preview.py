"""Repair proposals as they may be shown: values as far as the evidence settings of their fields allow. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from auditor.conflicts.proposal import Proposal
from auditor.map.integration_map import IntegrationMap
from checks.field_text import masked
from probes.contract import MISSING
from probes.settings import EvidencePolicy

PRIVATE = "***"


def shown(integration_map: IntegrationMap, proposal: Proposal) -> Proposal:
    """The same proposal with texts in place of the values that may not be shown."""
    if not proposal.system:
        return proposal
    fields = integration_map.data_types[proposal.data_type].fields
    binding = integration_map.bindings[proposal.data_type, proposal.system]
    policies = {binding.fields.get(name, name): rule.evidence for name, rule in fields.items()}
    if binding.deleted is not None:  # what marks a deletion stands in the map
        policies.setdefault(binding.deleted.field, "clear")

    def hidden(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _hidden(policies.get(name, "private"), value) for name, value in values.items()}

    clear = {name for name, policy in policies.items() if policy == "clear"}
    return replace(
        proposal,
        changes=hidden(proposal.changes),
        guard=hidden(proposal.guard),
        natives={name: native for name, native in proposal.natives.items() if name in clear},
    )


def change_text(proposal: Proposal) -> str:
    """The fields that would be written, each with its present and its proposed value."""
    if proposal.action == "delete":
        return "the whole record"
    update = proposal.action == "update"
    return "; ".join(
        f"{name}: {_text(proposal.guard.get(name))} → {_text(value)}" if update else f"{name}: {_text(value)}"
        for name, value in proposal.changes.items()
    )


def _hidden(policy: EvidencePolicy, value: Any) -> Any:
    if policy == "clear" or value is None or value is MISSING:
        return value
    return masked(str(value)) if policy == "masked" else PRIVATE


def _text(value: Any) -> str:
    return "NULL" if value is None else "missing" if value is MISSING else str(value)
