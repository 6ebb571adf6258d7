"""What the map says of the heartbeat: who expects it, and how often it is sent (`auditor.daemon.heartbeat`)."""

from __future__ import annotations

from pydantic import Field

from auditor.senders.contract import Address
from probes.durations import Duration
from probes.settings import PluginSettings

EVERY_S = 60.0


class HeartbeatSettings(PluginSettings):
    """Where to send the heartbeat, and how often at most.

    Attributes:
        url: a secret; empty for none.
    """

    url: Address
    every_s: Duration = Field(default=EVERY_S, alias="every", ge=1)
