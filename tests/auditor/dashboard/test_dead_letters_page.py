"""Dead letters: the funnel, reasons and records, and queues that cannot be read."""

from __future__ import annotations

import json

from auditor.audit.queue_audit import QueueAuditor
from auditor.dashboard.pages import dead_letters
from auditor.history.letters import Funnel
from checks import funnel
from probes.registry import open_queue_probe
from tests.auditor.dashboard.page_runs import drift, read_queue, run, text
from tests.stand import Stand


def test_columns_that_no_broker_fills_are_left_out_and_explained(watched: Stand) -> None:
    drift(watched)
    read_queue(watched)
    app = run("dead-letters")
    assert not {"arriving", "leaving", "empty in"} & set(app.dataframe[0].value.columns)
    assert "do not count what arrives and leaves" in text(app)


def test_dead_letters_shows_funnel_reasons_and_the_records_they_explain(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "UPDATE letters SET error = '422: no e-mail of cus_3'")
    read_queue(watched)
    app = run("dead-letters")
    queues, _, reasons, one_by_one = (each.value for each in app.dataframe[:4])
    assert list(queues[["depth", "inspected"]].iloc[0]) == [1, "all"]
    assert list(reasons["reason"]) == ["422: no e-mail of <id>"]
    assert list(one_by_one["record"]) == ["3"]
    assert list(one_by_one["explains"]) == ["open divergence"]
    assert "What happens to failed messages" in text(app)
    stages = next(each.value for each in app.dataframe if "emitted" in each.value)
    assert stages.iloc[0].to_dict() == {
        "flow": "to_billing",
        "emitted": "0 (0/h)",
        "failed": "≥ 1 (≥ 1/h)",
        "queued": "1 (1/h)",
        **dict.fromkeys(("retried", "delivered", "updated"), "0 (0/h)"),
    }
    assert "**Where the dead letters went**" in text(app)
    (bands,) = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert bands["node"]["label"] == ["to_billing 1", "still waiting 1"]
    assert bands["link"]["value"] == [1]
    assert "1 of 1 record that differs" in text(app)
    assert list(run("drift").dataframe[0].value["dead letter"]) == ["422: no e-mail of <id>"]
    assert "Dead letters" in text(run("record", type="customer", key="3"))


def test_a_queue_that_cannot_be_read_leaves_the_page_up_and_is_unknown(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "ALTER TABLE letters RENAME TO gone")
    read_queue(watched)
    app = run("dead-letters")
    assert not app.exception
    assert "**to_billing/dead** cannot be read: " in text(app)
    assert {each.label: each.value for each in run("overview").metric}["Dead letters waiting"] == "unknown"


def test_a_queue_that_cannot_be_read_is_not_called_empty(watched: Stand) -> None:
    settings = watched.map.queues["to_billing", "dead"]
    watched.run("billing", "ALTER TABLE letters RENAME TO posts")
    queue = QueueAuditor(
        flow=watched.map.flow("to_billing"),
        queue="dead",
        settings=settings,
        probe=open_queue_probe(settings, watched.map.systems["billing"]),
        ledger=watched.ledger,
    )
    queue.audit(watched.clock.now())
    told = text(run("dead-letters"))
    assert "to_billing, queue dead: cannot be read, so whether dead letters wait is not known" in told.replace(
        "\\", ""
    )
    assert "No dead letter is waiting" not in told
    watched.run("billing", "ALTER TABLE posts RENAME TO letters")
    queue.audit(watched.clock.now())
    assert "No dead letter is waiting" in text(run("dead-letters"))


def test_flows_on_which_no_message_failed_get_no_chart(disputed: Stand) -> None:
    read_queue(disputed)
    app = run("dead-letters")
    assert not app.exception
    assert "No failed message was seen on: to_billing (0 emitted)." in text(app).replace("\\", "")
    assert not app.get("plotly_chart")
    seen = [funnel.Stage(name=name, least=0, most=most, why="") for name, most in (("emitted", 9), ("failed", None))]
    assert dead_letters._nothing_failed(Funnel(flow="f", hours=1, stages=seen, fates={}))
    for least, most in ((None, None), (1, None), (0, 1)):
        later = funnel.Stage(name="queued", least=least, most=most, why="")
        assert not dead_letters._nothing_failed(Funnel(flow="f", hours=1, stages=[*seen, later], fates={}))
