"""The demo company's stage over HTTP: what is told of it, and what is said if it does not answer."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from auditor.scenarios import ADDRESS, Span, Stage, StageError
from auditor.senders.slack import message
from demo.company import Company
from demo.scenarios import SCENARIOS
from demo.server import serve
from demo.stage import Stage as CompanyStage
from tests.auditor.senders.receivers import NOTICE
from tests.demo.test_company import company
from tests.servers import free_port

__all__ = ["company"]


@contextmanager
def performing(company: Company, *, per_s: float = 20.0) -> Iterator[str]:
    """The address of a company at work, as `auditor demo` starts one."""
    stage = CompanyStage(company, random.Random(2))
    server = serve(company, stage, 0)
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, daemon=True),
        threading.Thread(target=lambda: stage.live(stop, per_s=per_s, opens=False), daemon=True),
    ]
    for each in threads:
        each.start()
    address = f"http://127.0.0.1:{server.server_port}"
    (company.folder / ADDRESS).write_text(address)
    try:
        yield address
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        for each in threads:
            each.join(60)


def test_a_scenario_is_played_and_mended(company: Company) -> None:
    with performing(company):
        stage = Stage.in_folder(company.folder)
        before = stage.programme()
        assert (list(before.scenarios), before.playing, before.last) == (list(SCENARIOS), None, None)
        playing = stage.play("unreachable-crm", held=True).playing
        assert playing is not None
        assert (playing.name, playing.prevented, playing.held, playing.ended_at) == (
            *("unreachable-crm", False, True),
            None,
        )
        with pytest.raises(StageError, match="unreachable-crm is being played; mend it first"):
            stage.play("late-sync")
        stage.mend()
        while stage.programme().playing is not None:
            pass
        last = stage.programme().last
        assert last is not None
        assert last.ended_at is not None
        assert last.ended_at >= last.begun_at
        with pytest.raises(StageError, match="no such scenario: nope"):
            stage.play("nope")


def test_what_the_auditor_sends_to_the_channel_is_plain_text_there(company: Company) -> None:
    notice = {**NOTICE, "summary": "crm & billing <differ> *now* by +02:00"}
    with performing(company) as address:
        sent = message(notice, dashboard="http://127.0.0.1:1", possible_repeat=False)
        httpx.post(f"{address}/chat", json=sent, trust_env=False).raise_for_status()
        (heard,) = Stage(address).messages()
    assert "crm & billing <differ>" in heard.title
    assert "by +02:00" in heard.title
    fields = dict(heard.fields)
    assert fields["Now"].startswith(f"{NOTICE['count']} (peak")
    assert not any("<" in name + value or "!date" in value for name, value in heard.fields)


def test_a_message_in_the_channel_has_all_that_slack_shows(company: Company) -> None:
    notice = {
        **NOTICE,
        "records": [
            {"key": "cus_*7*", "lag_s": 12.0, "links": {"crm": "https://crm.example/c?id=7&tab=1"}},
            {"key": "<8>", "links": {}},
        ],
        "detail": "as *billing* says it",
        "evidence": "`orphans` of one flow",
        "advice": "Delete them in billing.",
    }
    with performing(company) as address:
        for sent in (notice, {**notice, "transition": "digest", "rows": [["high", 3, "late < 4 s", "to_billing"]]}):
            body = message(sent, dashboard="http://127.0.0.1:1", possible_repeat=False)
            httpx.post(f"{address}/chat", json=body, trust_env=False).raise_for_status()
        body = message({**notice, "advice": None, "runbook": None}, dashboard=None, possible_repeat=False)
        alone = {"text": body["text"]}
        httpx.post(f"{address}/chat", json=alone, trust_env=False).raise_for_status()
        whole, digest, short = Stage(address).messages()
    assert [list(each.lines) for each in whole.paragraphs] == [
        [
            [Span(text="Worst", strong=True)],
            [Span(text="cus_*7* (lag 12 s)"), Span(text="crm", address="https://crm.example/c?id=7&tab=1")],
            [Span(text="<8>")],
        ],
        [[Span(text="as *billing* says it")]],
        [[Span(text="Why these are one", strong=True), Span(text="\u02cborphans\u02cb of one flow")]],
        [[Span(text="What to do", strong=True), Span(text="Delete them in billing.")]],
    ]
    assert whole.footer == "as of 2026-03-01 12:05Z | incident 7"
    assert whole.links == [
        ("Open", "http://127.0.0.1:1/drift?flow=to_billing"),
        ("Runbook", "https://wiki.example/orphans"),
    ]
    table = digest.paragraphs[0]
    assert (table.preformatted, table.lines[0][0].text) == (True, "high          3  late < 4 s  to_billing")
    assert not any(each.preformatted for each in whole.paragraphs)
    assert (short.title, short.fields, short.paragraphs, short.footer, short.links) == (whole.title, [], [], "", [])


def test_without_a_company_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no demo runs in"):
        Stage.in_folder(tmp_path / "company")
    for address in (f"http://127.0.0.1:{free_port()}", "", "no address"):
        with pytest.raises(StageError, match="does not answer"):
            Stage(address).programme()
