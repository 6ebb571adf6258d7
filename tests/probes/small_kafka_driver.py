"""Kafka's driver as it is, with so little memory that a test can use it up."""

from __future__ import annotations

from probes.child_process import serve
from probes.queues.kafka_driver import Topics

if __name__ == "__main__":
    serve(Topics().answer, memory_bytes=256 * 1024**2)
