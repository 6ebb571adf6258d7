"""Kafka's driver with a librdkafka that tells its password in every form when it is to connect."""

from __future__ import annotations

from typing import Any

import confluent_kafka.admin

from probes.child_process import serve
from probes.queues.kafka_driver import MEMORY_BYTES, Topics
from tests.probes.chatter import chatter

if __name__ == "__main__":
    client: Any = confluent_kafka.admin.AdminClient
    client.__init__ = chatter
    serve(Topics().answer, memory_bytes=MEMORY_BYTES, for_good=False)
