"""The messages of the Pub/Sub API on the wire: names, numbers and types of their fields.

Source: pubsub_api.proto of forcedotcom/pub-sub-api (package eventbus.v1; commits 03d49a9 and 0ba4701, 2024-09-03).
The text of that file is not part of this repository: its licence could not be seen where it was read, so what both
sides must agree on is written down here as data, and nothing is generated. Managed subscriptions (beta) and
publishing are left out: who calls gets UNIMPLEMENTED.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"
LATEST, EARLIEST, CUSTOM = 0, 1, 2

_SCALARS = {"string": 9, "bytes": 12, "bool": 8, "int32": 5}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "TopicRequest": {"topic_name": (1, "string")},
    "TopicInfo": {
        "topic_name": (1, "string"),
        "tenant_guid": (2, "string"),
        "can_publish": (3, "bool"),
        "can_subscribe": (4, "bool"),
        "schema_id": (5, "string"),
        "rpc_id": (6, "string"),
    },
    "SchemaRequest": {"schema_id": (1, "string")},
    "SchemaInfo": {"schema_json": (1, "string"), "schema_id": (2, "string"), "rpc_id": (3, "string")},
    "EventHeader": {"key": (1, "string"), "value": (2, "bytes")},
    "ProducerEvent": {
        "id": (1, "string"),
        "schema_id": (2, "string"),
        "payload": (3, "bytes"),
        "headers": (4, "repeated EventHeader"),
    },
    "ConsumerEvent": {"event": (1, "ProducerEvent"), "replay_id": (2, "bytes")},
    "FetchRequest": {
        "topic_name": (1, "string"),
        "replay_preset": (2, "enum ReplayPreset"),
        "replay_id": (3, "bytes"),
        "num_requested": (4, "int32"),
        "auth_refresh": (5, "string"),
    },
    "FetchResponse": {
        "events": (1, "repeated ConsumerEvent"),
        "latest_replay_id": (2, "bytes"),
        "rpc_id": (3, "string"),
        "pending_num_requested": (4, "int32"),
    },
}
METHODS = {
    "GetTopic": ("TopicRequest", "TopicInfo"),
    "GetSchema": ("SchemaRequest", "SchemaInfo"),
    "Subscribe": ("FetchRequest", "FetchResponse"),
}


def _built() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stand_in_pubsub.proto", package=PACKAGE, syntax="proto3")
    preset = file.enum_type.add(name="ReplayPreset")
    for number, name in enumerate(("LATEST", "EARLIEST", "CUSTOM")):
        preset.value.add(name=name, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            word, _, rest = kind.rpartition(" ")
            added = message.field.add(name=field, number=number, label=3 if word == "repeated" else 1)
            if rest in _SCALARS:
                added.type = _SCALARS[rest]
            else:
                added.type = 14 if word == "enum" else 11
                added.type_name = f".{PACKAGE}.{rest}"
    pool = descriptor_pool.DescriptorPool()  # of its own: who calls may have these messages in the common one
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }


MESSAGES: dict[str, Any] = _built()
