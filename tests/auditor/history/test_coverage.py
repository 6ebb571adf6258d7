"""How much of each flow is known, from a ledger and its archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from auditor.history.coverage import coverage, coverage_days
from auditor.history.lens import Lens
from checks.convergence import Verdict
from checks.coverage_days import CoverageCounts, Covered
from checks.objectives import WindowCounts, underlying_share
from tests.auditor.history.changes import DAY, NOW, followed, save
from tests.stand import Stand


def test_coverage_before_the_first_audit_claims_nothing(stand: Stand) -> None:
    lens = save(stand, [])
    (told,) = coverage(stand.map, stand.ledger, lens, DAY, NOW)
    lens.close()
    row = told.as_row()
    assert (row["verified_through"], row["verdict_ratio"], row["sweep_ratio"], told.agreement) == (None,) * 4
    assert (row["differ_ratio"], row["differ_ratio_upper"]) == (None, 1)


def test_coverage_counts_what_is_undecided(stand: Stand) -> None:
    met, pending = followed(1, 1.0), followed(2, None)
    assert (met.verdict, pending.verdict) == (Verdict.MET, Verdict.PENDING)
    lens = save(stand, [met, pending])
    (told,) = coverage(stand.map, stand.ledger, lens, DAY, NOW)
    lens.close()
    assert (told.changes, told.undecided, told.undecided_ratio) == (2, 1, 0.5)


def test_a_sweep_under_way_bounds_what_differs_and_a_whole_one_is_certain(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    sampling: {panel: 0}")
    stand.agree(40)
    now = datetime.now(UTC)

    def told() -> tuple[tuple[int, int] | None, tuple[int, int] | None, float | None]:
        lens = Lens(stand.ledger)
        lens.refresh()
        (found,) = coverage(stand.map, stand.ledger, lens, now - timedelta(hours=1), datetime.now(UTC))
        lens.close()
        return found.differing, found.differed, found.sweep_ratio

    stand.auditor.begin_sweep()
    widths = []
    for _ in range(4):
        stand.auditor.audit(datetime.now(UTC), sample=10)
        differing, differed, ratio = told()
        assert differing is not None
        assert ratio is not None
        widths.append(differing[1] - differing[0])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] == 0
    assert (differed, ratio) == ((0, 0), 1.0)


def test_the_long_run_is_told_with_bounds_that_shrink_with_evidence() -> None:
    few, many = underlying_share(WindowCounts(10, 0, 0), 0.99), underlying_share(WindowCounts(10_000, 0, 0), 0.99)
    assert few[0] < many[0] < 1
    assert few[1] == many[1] == 1
    least, most = underlying_share(WindowCounts(900, 80, 20), 0.99)
    assert least < 0.9 < 0.92 < most
    assert underlying_share(WindowCounts(0, 0, 0), 0.99) == (0, 1)


def test_the_days_have_what_the_audits_of_each_came_to(stand: Stand) -> None:
    noon = stand.clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    stand.clock.advance((noon - timedelta(days=3) - stand.clock.now()).total_seconds())
    stand.agree(5)
    stand.clock.advance(86_400)
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    stand.audit()
    stand.run("billing", "ALTER TABLE clients RENAME TO customers")
    stand.clock.advance(86_400)
    stand.run("billing", "UPDATE customers SET amount = 'two' WHERE id < 4")
    stand.sweep()
    lens = Lens(stand.ledger)
    lens.refresh()
    found = coverage_days("to_billing", lens, noon - timedelta(days=4), stand.clock.now())
    (all_of_it,) = coverage(stand.map, stand.ledger, lens, noon - timedelta(days=4), stand.clock.now())
    lens.close()
    assert [day for day, _ in found] == [(noon - timedelta(days=back)).date() for back in (4, 3, 2, 1)]
    assert [each.covered(0.9) for _, each in found] == [Covered.NO_DATA, Covered.ENOUGH, Covered.NONE, Covered.PART]
    assert found[0][1] == CoverageCounts()
    assert (found[2][1].audits, found[2][1].failed) == (1, 1)
    assert sum(each.due for _, each in found) == all_of_it.due
    assert sum(each.verdicts for _, each in found) == all_of_it.verdicts
