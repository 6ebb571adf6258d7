"""What the steps read: what both systems hold, and every record once, into the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.map.integration_map import IntegrationMap
from auditor.setup.addresses import NewSystem
from auditor.setup.setup_error import SetupError
from auditor.storage.ledger_error import LedgerError
from auditor.systems.discovery import describe, discover
from auditor.systems.matches import Found
from auditor.systems.reader import SystemReader
from auditor.workspace import Workspace
from probes import registry
from probes.contract import CollectionSchema, ProbeError

if TYPE_CHECKING:
    from auditor.audit.once import Report

Catalogue = Sequence[CollectionSchema]
"""What a system holds, as it describes it."""


def catalogue(system: NewSystem, *, tell: Callable[[str], None]) -> Catalogue:
    """Sign in to a system, and read what it holds.

    Args:
        tell: called with progress messages.

    Raises:
        SetupError: it cannot be connected, does not let the login in, or lets it read nothing.
    """
    with _opened(system) as reader:
        return describe(reader, tell=tell)


def find(
    systems: tuple[NewSystem, NewSystem],
    *,
    catalogues: tuple[Catalogue, Catalogue] | None = None,
    tell: Callable[[str], None],
) -> Found:
    """Compare what two systems hold.

    Args:
        catalogues: of both; None to read them.
        tell: called with progress messages.

    Raises:
        SetupError: one cannot be connected or read.
    """
    with _opened(systems[0]) as owner, _opened(systems[1]) as copy:
        return discover(owner, copy, described=catalogues, tell=tell)


@contextmanager
def _opened(system: NewSystem) -> Iterator[SystemReader]:
    """A reader of a system; what fails meanwhile is a `SetupError`."""
    try:
        settings = system.settings
        reader = SystemReader(system.name, settings, registry.open_record_probe(settings))
        try:
            yield reader
        finally:
            reader.close()
    except ProbeError as error:
        raise SetupError(str(error)) from None


def first_verdicts(
    loaded: IntegrationMap, workspace: Workspace, *, wait_s: float | None = None, tell: Callable[[str], None]
) -> list[Report]:
    """Audit every record once, as `auditor once` does.

    Args:
        wait_s: how long to wait for what is pending; None until the longest window ends, at most two minutes.
        tell: called with progress messages.

    Raises:
        SetupError: the ledger cannot be used, or another auditor uses it.
    """
    from auditor.audit.once import audit_once
    from auditor.audit.tenure import held

    try:
        ledger = workspace.ledger()
        try:
            digest_key = workspace.digest_key()
            with held(workspace, ledger, "once", tell=tell):
                ledger.installation.check_key(digest_key, adopt=True)
                return audit_once(loaded, ledger, digest_key, flows=list(loaded.flows), wait_s=wait_s, tell=tell)
        finally:
            ledger.close()
    except (LedgerError, ProbeError) as error:
        raise SetupError(str(error)) from None


def command(verb: str, map_file: Path, data: Path) -> str:
    """The command line for a verb of `auditor` with this map and data folder, without what is the default."""
    words = ["auditor", verb]
    if map_file.resolve() != Path("plumbline.yaml").resolve():
        words += ["--map", str(map_file)]
    if data.resolve() != Path("var").resolve():
        words += ["--data", str(data)]
    return shlex.join(words)
