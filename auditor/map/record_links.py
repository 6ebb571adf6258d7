"""Where people find a record in the systems themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.map.integration_map import IntegrationMap
from probes.composite_keys import parted
from probes.contract import Key
from probes.record_links import COLLECTION, KEY, OWN_KEY, filled, wrong_places
from probes.settings import Binding, SystemSettings

Path_ = tuple[str | int, ...]


def link_of(system: SystemSettings, binding: Binding, key: Key, own_keys: Sequence[Key] = ()) -> str | None:
    """The address of a record in a system; None if the map has no template for it, or the key none of its values.

    Args:
        binding: of the record's data type in the system.
        key: of the data type.
        own_keys: those that a crosswalk pairs with it; only one of them identifies a record.
    """
    named = (binding.link, system.link, binding.own_link(system))
    template = next((each for each in named if each is not None), "")
    values = {KEY: str(key), COLLECTION: binding.collection}
    if len(own_keys) == 1:
        values[OWN_KEY] = str(own_keys[0])
    try:
        if len(binding.key_fields) > 1:
            values |= dict(zip(binding.key_fields, parted(key, len(binding.key_fields)), strict=True))
    except ValueError:
        pass  # a key from before its type changed
    return filled(template, values)


def link_mistakes(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """Placeholders that a template of the map cannot fill, each with its path."""
    for name, settings in integration_map.systems.items():
        if wrong := wrong_places(settings.link or "", [KEY]):
            yield ("systems", name, "link"), wrong
    for (data_type, system), binding in integration_map.bindings.items():
        if wrong := wrong_places(binding.link or "", _places(binding)):
            yield ("data_types", data_type, "in", system, "link"), wrong


def _places(binding: Binding) -> list[str]:
    if binding.crosswalk is not None:
        return [KEY, OWN_KEY]
    return [KEY, *(binding.key_fields if len(binding.key_fields) > 1 else ())]
