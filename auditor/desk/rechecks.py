"""Asking the running daemon to read records next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from auditor.ledger import Ledger, is_gone, this_process
from auditor.map.integration_map import IntegrationMap
from auditor.storage.kept_text import restored
from checks.escalation import RefusedError
from checks.handling import check_name
from checks.values import UnreadableError

Wanted = Sequence[tuple[str, str]]
"""Flows and keys, each key in its canonical form."""


def wanted_of(
    integration_map: IntegrationMap, data_type: str, keys: Iterable[str], flows: Sequence[str] | None = None
) -> Wanted:
    """What a request for some records is about.

    Args:
        keys: as typed by a person, or as shown by the views and the pages.
        flows: only these; all flows of the data type otherwise.

    Raises:
        UnknownNameError: no such data type, a flow does not carry it, or none does.
        RefusedError: a text is no key of the data type.
    """
    chosen = integration_map.carrying(data_type, flows)
    typed_key = integration_map.data_types[data_type].typed_key
    found: dict[str, None] = {}
    for each in keys:
        try:
            found[str(typed_key(restored(each)))] = None
        except UnreadableError as error:
            raise RefusedError(f"{each!r} is not a valid key of {data_type}: {error}") from None
    return [(flow, key) for key in found for flow in chosen]


def daemon_runs(ledger: Ledger, folder: Path) -> bool:
    """Whether a daemon audits with this ledger, as far as this machine can tell."""
    holder = ledger.lease.now().holder
    return holder is not None and holder.does == "run" and not is_gone(holder, this_process("recheck", folder))


def ask(
    ledger: Ledger,
    folder: Path,
    wanted: Wanted,
    *,
    who: str,
    known_by: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> datetime:
    """Ask the daemon to read these records next, within its budgets; returns when that was asked.

    Args:
        folder: of the installation.
        who: the person; a name of at most 100 characters.
        known_by: how the auditor identified the person.

    Raises:
        RefusedError: no daemon runs, or too many records wait already.
    """
    check_name(who, "the name of who does this")
    if not daemon_runs(ledger, folder):
        raise RefusedError("no auditor is running with this ledger, so nobody would read them; start `auditor run`")
    asked_at = now()
    ledger.rechecks.ask(wanted, who=who, known_by=known_by, at=asked_at)
    return asked_at
