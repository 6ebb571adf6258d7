"""A stand-in for Azure Service Bus over AMQP 1.0, run by the system's own Python, which has Qpid Proton.

It answers what a peek needs: the claims node `$cbs` and `com.microsoft:peek-message` at an entity's `$management`.
Run as `service_bus_peer.py PORT FILE [refuse|deny|silent]`; FILE holds, by entity, what waits, and is read at each request.
Source of the protocol: learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response.
"""

import json
import sys
from pathlib import Path

from proton import Message, int32, symbol, timestamp
from proton.handlers import MessagingHandler
from proton.reactor import Container


class Peer(MessagingHandler):
    def __init__(self, port, state, mode):
        super().__init__(prefetch=100, auto_accept=True, auto_settle=True)
        self.address, self.state_file, self.mode = f"127.0.0.1:{port}", Path(state), mode
        self.to_client = {}

    def on_start(self, event):
        event.container.listen(self.address)

    def on_connection_bound(self, event):
        event.transport.sasl().allowed_mechs("ANONYMOUS MSSBCBS")

    def on_link_opening(self, event):
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        if link.is_sender:
            self.to_client[link.connection.remote_container, link.remote_source.address] = link

    def on_message(self, event):
        asked, address = event.message, event.receiver.remote_target.address
        if self.mode == "silent":
            return
        answer = Message(correlation_id=asked.id)
        if address == "$cbs":
            code = 401 if self.mode == "refuse" else 202
            answer.properties = {"status-code": int32(code), "status-description": "told"}
        else:
            code, answer.body, condition = self.peek(address, asked)
            answer.properties = {"statusCode": int32(code), "statusDescription": "told"}
            if condition:
                answer.properties["errorCondition"] = symbol(condition)
        self.to_client[event.connection.remote_container, address].send(answer)

    def peek(self, address, asked):
        if self.mode == "deny":
            return 401, None, "amqp:unauthorized-access"
        path = address.split("://", 1)[1].split("/", 1)[1] if "://" in address else address
        entity = path.rsplit("/$management", 1)[0].lower()
        begin, count = int(asked.body["from-sequence-number"]), int(asked.body["message-count"])
        there = [each for each in json.loads(self.state_file.read_text()).get(entity, []) if each["seq"] >= begin]
        if not there:
            return 204, None, "com.microsoft:message-not-found"
        return 200, {"messages": [{"message": encoded(each)} for each in there[:count]]}, ""


def encoded(each):
    message = Message(body=each["body"].encode(), inferred=True, delivery_count=each["deliveries"])
    message.properties = {"DeadLetterReason": each["reason"], "DeadLetterErrorDescription": each["description"]}
    message.properties.update(each["properties"])
    message.annotations = {
        symbol("x-opt-sequence-number"): each["seq"],
        symbol("x-opt-enqueued-time"): timestamp(each["enqueued_ms"]),
        symbol("x-opt-message-state"): int32(0),
    }
    return message.encode()


if __name__ == "__main__":
    Container(Peer(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")).run()
