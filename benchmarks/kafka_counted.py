"""Kafka's driver as it is, which also writes down how many requests its clients have sent."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from probes.child_process import serve
from probes.queues.kafka import KafkaSettings
from probes.queues.kafka_driver import MEMORY_BYTES, Topics

_client = KafkaSettings.client
_sent: dict[str, int] = {}


def counts(pid: int) -> Path:
    """Where a driver writes them."""
    return Path(tempfile.gettempdir()) / f"plumbline-kafka-requests-{pid}.json"


def _told(text: str) -> None:
    stats = json.loads(text)
    _sent[stats["name"]] = stats["tx"]
    counts(os.getpid()).write_text(json.dumps(_sent))


def _counted(settings: KafkaSettings) -> dict[str, Any]:
    return {**_client(settings), "statistics.interval.ms": 200, "stats_cb": _told}


if __name__ == "__main__":
    KafkaSettings.client = _counted  # type: ignore[method-assign, assignment]
    serve(Topics().answer, memory_bytes=MEMORY_BYTES, for_good=False)
