"""The integration map: which systems hold which data types, who owns them, and what flows between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from auditor.map.flow import Flow
from auditor.map.settings import Alerts, AlertSettings, DataType, FlowSettings
from probes.settings import Binding, SystemSettings


class UnknownNameError(ValueError):
    """The map has nothing of this name, or a text is not a key."""


@dataclass(frozen=True, kw_only=True)
class IntegrationMap:
    """A valid map.

    Attributes:
        systems: by name, the settings of the plug-in that serves each.
        bindings: by (data type, system), where the data type is stored in the system.
        queues: by (flow, queue name), the settings of each queue's plug-in.
    """

    systems: dict[str, SystemSettings]
    data_types: dict[str, DataType]
    flows: dict[str, FlowSettings]
    alerts: Alerts = field(default_factory=AlertSettings)
    bindings: dict[tuple[str, str], Binding] = field(default_factory=dict)
    queues: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def queue_systems(self) -> set[str]:
        """The systems that queues live in."""
        return {queue.system for queue in self.queues.values() if getattr(queue, "system", None) is not None}

    @property
    def crosswalk_systems(self) -> set[str]:
        """The systems that tell which keys of other systems belong together."""
        return {each.crosswalk.system for each in self.bindings.values() if each.crosswalk is not None}

    def system_of(self, queue: Any) -> SystemSettings | None:
        """The system that a queue lives in; None for one with its own address."""
        name = getattr(queue, "system", None)
        return self.systems[name] if name is not None else None

    def flow(self, name: str) -> Flow:
        """A flow with everything the map says about it in one place. Raises KeyError."""
        settings = self.flows[name]
        return Flow(
            name=name,
            settings=settings,
            data_type=self.data_types[settings.data_type],
            source=self.systems[settings.from_],
            target=self.systems[settings.to],
            source_binding=self.bindings[settings.data_type, settings.from_],
            target_binding=self.bindings[settings.data_type, settings.to],
            tells_validity=name == self._first_flow_from(settings),
            held_by={
                system: (self.systems[system], binding)
                for (data_type, system), binding in self.bindings.items()
                if data_type == settings.data_type
            },
        )

    def carrying(self, data_type: str, names: Collection[str] | None = None) -> list[str]:
        """The flows that carry a data type, in the order of the map: all, or those that are named.

        Raises:
            UnknownNameError: no such data type, a flow that is named does not carry it, or none does.
        """
        mine = [name for name, each in self.flows.items() if each.data_type == data_type]
        if data_type not in self.data_types:
            raise UnknownNameError(f"unknown data type {data_type[:100]!r}")
        for name in names or ():
            if name not in mine:
                raise UnknownNameError(
                    f"no flow {name[:100]!r} of {data_type}; its flows are {', '.join(mine) or 'none'}"
                )
        if not mine:
            raise UnknownNameError(f"no flow of the map carries {data_type}")
        return [name for name in mine if not names or name in names]

    def _first_flow_from(self, settings: FlowSettings) -> str:
        """The flow that reports what is invalid at an owner; further flows from it would only repeat this."""
        return next(
            name
            for name, each in self.flows.items()
            if each.data_type == settings.data_type and each.from_ == settings.from_
        )
