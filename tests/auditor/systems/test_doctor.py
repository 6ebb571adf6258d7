"""The doctor looks at several systems side by side; what it finds in each is tested with the command."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from auditor.map.loader import load_map
from auditor.systems.doctor import examine

MAP = """\
systems:
  one: {{kind: sql, url: "postgresql://someone@127.0.0.1:{port}/x", zone: UTC, budget: {{timeout: 60s}}}}
  two: {{kind: sql, url: "postgresql://someone@127.0.0.1:{port}/y", zone: UTC, budget: {{timeout: 60s}}}}
data_types:
  customer:
    owner: one
    window: 60s
    key_type: integer
    fields: {{name: {{type: string}}}}
    in:
      one: {{collection: customers, key: id}}
      two: {{collection: customers, key: id}}
flows:
  to_two: {{data_type: customer, from: one, to: two, pattern: near-real-time, every: 30s}}
"""


def test_a_system_that_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    """A server that answers nobody before both have come."""
    both = threading.Barrier(2)
    came: list[bool] = []

    def answer(connection: socket.socket) -> None:
        with connection:
            if not came:
                try:
                    both.wait(50)
                    came.append(True)
                except threading.BrokenBarrierError:
                    pass

    def listen() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=listen, daemon=True).start()
        file = tmp_path / "map.yaml"
        file.write_text(MAP.format(port=server.getsockname()[1]))
        reports = examine(load_map(file, {}), seed=None, steps={})
    assert came
    assert [each.system for each in reports] == ["one", "two"]
    assert all(each.problems and not each.answers for each in reports)
