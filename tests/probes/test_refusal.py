"""Whether servers refuse connections, without waiting for those that do not answer."""

from __future__ import annotations

import socket

from probes.refusal import all_refuse
from tests.servers import free_port


def test_only_where_all_refuse_is_it_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        open_, shut = listening.getsockname()[:2], ("127.0.0.1", free_port())
        assert all_refuse([shut])
        assert all_refuse([shut, ("localhost", free_port())])
        assert not all_refuse([shut, open_])
        assert not all_refuse([])


def test_what_no_answer_or_no_address_says_is_no_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        place = full.getsockname()[:2]
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(place)
        assert not all_refuse([place], 0.2)  # its queue is full, so it does not answer
        for each in held:
            each.close()
    assert not all_refuse([("no-such-host.invalid", 1)])
    assert not all_refuse([("127.0.0.1", 99_999)])
