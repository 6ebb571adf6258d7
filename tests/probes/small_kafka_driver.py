"""Kafka's driver as it is, with so little memory that a test can use it up."""

from __future__ import annotations

from probes.child_process import serve
from probes.queues.kafka_driver import Topics

MEMORY_BYTES = 128 * 1024**2

if __name__ == "__main__":
    serve(Topics(MEMORY_BYTES).answer, memory_bytes=MEMORY_BYTES, for_good=False)
