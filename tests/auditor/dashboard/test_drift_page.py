"""The records that differ or cannot be verified: filters, states, one mistake of many records, and the export."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from auditor.dashboard import tables
from auditor.dashboard.installations import forget
from auditor.dashboard.pages import drift as drift_page
from tests.auditor.dashboard.page_runs import button, drift, run, signs, table_with, text
from tests.stand import Stand


def test_drift_filters_from_the_address(watched: Stand) -> None:
    drift(watched)
    shown = run("drift", cause="foreign_write").dataframe[0].value
    assert list(shown["record"]) == ["3"]
    assert list(shown["difference"]) == ["name: Ada → Eve"]


def test_a_link_to_records_that_agree_again_says_so_and_leads_on(watched: Stand) -> None:
    drift(watched)
    app = run("drift", cause="orphan", flow="to_billing", state="open")
    assert "No record matches: flow to_billing, cause orphan, state open." in text(app)
    assert [each.label for each in app.button if each.label == "Show every state"] == []
    button(app, "Remove the filters").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["record"]) == ["3"]
    assert app.query_params.get("cause", []) == []
    watched.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    watched.audit()
    forget()
    app = run("drift")
    assert "No record is known to differ now. In other states in the last hour: 1 closed." in text(app)
    button(app, "Show every state").click().run()
    assert list(app.dataframe[0].value["record"]) == ["3"]
    app = run("drift", cause="foreign_write")
    assert "No record matches: cause foreign write, state open. In other states in the last hour: 1 closed." in text(
        app
    )
    button(app, "Show every state").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["record"]) == ["3"]
    assert app.multiselect(key="cause").value == ["foreign_write"]


def test_all_that_match_are_exported_and_not_only_the_page_shown(
    watched: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_page, "PER_PAGE", 1)
    watched.clock.advance(-1.1)
    watched.agree(5)
    watched.run("billing", "UPDATE customers SET name = 'Eve' WHERE id IN (3, 4)")
    for after_s in (0, 2, 2):
        watched.audit(after_s=after_s)
        watched.clock.advance(1.1 if after_s else 0)
    app = run("drift")
    assert not app.exception
    assert len(app.dataframe[0].value) == 1
    assert {each.proto.label for each in app.get("download_button")} == {"Export all as CSV", "Export all as Parquet"}
    assert pd.read_parquet(io.BytesIO(tables.parquet(pd.DataFrame({"key": ["=1"]}))))["key"].tolist() == ["=1"]


def test_one_mistake_that_many_records_show_is_told_once(watched: Stand) -> None:
    watched.clock.advance(-5)
    watched.agree(5)
    for key in range(6, 10):
        watched.put("crm", key, amount="1.50")
        watched.put("billing", key, amount="150.00")
    watched.sweep()
    for _ in range(5):
        watched.clock.advance(1)
        watched.audit()
    app = run("drift")
    assert not app.exception
    assert "amount in billing is times 100 in 4 of 4 records" in text(app)


def test_what_cannot_be_verified_is_listed_with_its_reason(watched: Stand) -> None:
    watched.agree(3)
    assert "No record is unverified" in text(run("drift"))
    watched.run("billing", "UPDATE customers SET amount = 'two' WHERE id = 2")
    watched.sweep()
    app = run("drift")
    assert "1 cannot be verified" in text(app)
    listed = app.dataframe[0].value
    assert list(listed["record"]) == ["2"]
    assert "amount in billing" in listed["reason"].iloc[0]
    flows = table_with(run("overview"), "beats")
    assert list(flows["unverified"]) == [1]
    assert signs(flows["state"]) == ["? unverified"]
