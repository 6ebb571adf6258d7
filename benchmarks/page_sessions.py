"""Sessions of the dashboard without a browser: what the server needs for a page while browsers have machines of their
own.

A session speaks Streamlit's protocol: it asks for a page with a BackMsg, and takes every ForwardMsg until the one
that says that the script has finished.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.typing import Origin, Subprotocol

from auditor.dashboard.data import REFRESH_AT_MOST_EVERY_S

LONGEST_S = 120.0
"""How long a session waits for a message."""

Waits = tuple[list[float], list[float]]
"""Seconds of every session until it has all of a page that it opens, and of one that it asks for again."""


async def measure(address: str, names: Iterable[str], rounds: int, sessions: int) -> dict[str, Waits]:
    """By page, how long sessions wait that all ask at once."""
    found: dict[str, Waits] = {name: ([], []) for name in names}
    for name in [*found] * rounds:
        async with AsyncExitStack() as opened:
            links = [await opened.enter_async_context(_connection(address)) for _ in range(sessions)]
            for span, took in zip(("24+h", "6+h"), found[name], strict=True):
                asking = (_drawn(link, name, f"refresh=off&range={span}") for link in links)
                took.extend(await asyncio.gather(*asking))
                await asyncio.sleep(1.5 * REFRESH_AT_MOST_EVERY_S)  # nothing is kept longer
    return found


def _connection(address: str) -> websockets.connect:
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    return websockets.connect(
        stream, subprotocols=[Subprotocol("streamlit")], origin=Origin(address), max_size=None, open_timeout=LONGEST_S
    )


async def _drawn(link: websockets.ClientConnection, name: str, query: str) -> float:
    asked = BackMsg()
    asked.rerun_script.page_name = "" if name == "overview" else name
    asked.rerun_script.query_string = query
    begun_s = time.perf_counter()
    await link.send(asked.SerializeToString())
    told = ForwardMsg()
    while told.WhichOneof("type") != "script_finished":
        told.ParseFromString(await asyncio.wait_for(link.recv(decode=False), LONGEST_S))
        if told.delta.new_element.HasField("exception"):
            raise RuntimeError(f"the page {name} shows an error: {told.delta.new_element.exception.message}")
    if told.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
        ended = ForwardMsg.ScriptFinishedStatus.Name(told.script_finished)
        raise RuntimeError(f"the page {name} was not drawn to the end: {ended}")
    return time.perf_counter() - begun_s
