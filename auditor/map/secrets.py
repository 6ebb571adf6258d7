"""Every secret of a map, for what may have been written by a library that knows nothing of the map."""

from __future__ import annotations

from auditor.map.integration_map import IntegrationMap
from probes.secrets import Scrubber, secret_parts, secrets_in


def scrubber_of(integration_map: IntegrationMap) -> Scrubber:
    """What takes every secret of a map out of a text: of systems, queues, senders and request templates."""
    alerts = integration_map.alerts
    known = Scrubber.of(*integration_map.systems.values(), *integration_map.queues.values(), alerts)
    templates = [secret for binding in integration_map.bindings.values() for secret in secrets_in(binding.options())]
    paths = [part for secret in known.secrets if "://" in secret for part in secret_parts(secret)]
    return known.knowing([*templates, *paths])
