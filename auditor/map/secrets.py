"""Every secret of a map, to scrub texts of libraries that know nothing of the map."""

from __future__ import annotations

from auditor.map.integration_map import IntegrationMap
from probes.secrets import Scrubber, secret_parts, secrets_in


def scrubber_of(integration_map: IntegrationMap) -> Scrubber:
    """A scrubber for every secret of a map: of systems, queues, senders and request templates."""
    scrubber = _of_settings(integration_map)
    paths = [part for secret in scrubber.secrets if "://" in secret for part in secret_parts(secret)]
    return scrubber.knowing([*_of_templates(integration_map), *paths])


def secrets_of(integration_map: IntegrationMap) -> list[str]:
    """The secrets themselves: what is declared as one, the login of every address, and what requests carry."""
    return [*_of_settings(integration_map).secrets, *_of_templates(integration_map)]


def _of_settings(integration_map: IntegrationMap) -> Scrubber:
    alerts = integration_map.alerts
    return Scrubber.of(*integration_map.systems.values(), *integration_map.queues.values(), alerts)


def _of_templates(integration_map: IntegrationMap) -> list[str]:
    return [secret for binding in integration_map.bindings.values() for secret in secrets_in(binding.options())]
