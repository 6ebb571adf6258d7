"""Every secret of a map, to scrub texts of libraries that know nothing of the map."""

from __future__ import annotations

from auditor.map.integration_map import IntegrationMap
from probes.secrets import Scrubber, secret_parts, secrets_in


def scrubber_of(integration_map: IntegrationMap) -> Scrubber:
    """A scrubber for every secret of a map: of systems, queues, senders and request templates."""
    alerts = integration_map.alerts
    scrubber = Scrubber.of(*integration_map.systems.values(), *integration_map.queues.values(), alerts)
    templates = [secret for binding in integration_map.bindings.values() for secret in secrets_in(binding.options())]
    paths = [part for secret in scrubber.secrets if "://" in secret for part in secret_parts(secret)]
    return scrubber.knowing([*templates, *paths])
