"""The ledger as a whole: every module of its has a test file of its name, or one that is named here."""

from __future__ import annotations

import pytest

from tests import HOME

MODULES = sorted(file.stem for file in (HOME / "auditor" / "ledger").glob("*.py") if file.stem != "__init__")

ELSEWHERE = {
    "conflicts": ("auditor/conflicts/test_decisions.py", "its rows are what people decide there"),
    "flow_state": ("auditor/ledger/test_flows.py", "a state is what the store of the flows keeps"),
    "identities": ("auditor/audit/test_memory.py", "an audit writes them within its one transaction"),
    "incidents": ("auditor/alerts/test_incidents.py", "its rows are what the rules of incidents write"),
    "measurements": ("auditor/alerts/test_objectives.py", "what is counted is held against what was promised"),
    "outbox": ("auditor/alerts/test_delivery.py", "a message is queued, claimed and settled by its delivery"),
    "record_rows": ("auditor/ledger/test_records.py", "rows and values of the store of the records"),
    "statements": ("auditor/ledger/test_store.py", "every store runs on both dialects"),
    "transaction": ("auditor/ledger/test_store.py", "what all stores write together"),
}
"""By module, the test file that holds it, and why that one."""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_test_file_of_its_name_or_a_reason(module: str) -> None:
    own = HOME / "tests" / "auditor" / "ledger" / f"test_{module}.py"
    assert own.exists() != (module in ELSEWHERE), module
    if module in ELSEWHERE:
        file, why = ELSEWHERE[module]
        assert (HOME / "tests" / file).exists()
        assert why


def test_no_reason_is_left_of_a_module_that_is_gone() -> None:
    assert ELSEWHERE.keys() <= {*MODULES}
