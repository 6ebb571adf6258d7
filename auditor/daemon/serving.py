"""The life of `auditor run`: waiting for the lease, auditing, following newer maps, stepping back, stopping."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from auditor.audit.tenure import take
from auditor.daemon.daemon import Audited, Daemon
from auditor.daemon.reloading import Reloads
from auditor.daemon.vitals import Vitals, vitals_of
from auditor.ledger import LedgerError
from auditor.map.integration_map import IntegrationMap
from auditor.workspace import Workspace

AGAIN_S = 10.0
"""Time between two attempts of a daemon that has lost its lease and cannot reach its ledger."""

STEP_BACK_S = 0.2
"""How soon a daemon that has lost its lease ends; it writes nothing meanwhile."""

log = logging.getLogger(__name__)


def serve(
    integration_map: IntegrationMap,
    workspace: Workspace,
    stopping: threading.Event,
    *,
    ready: Callable[[], None],
    stop: Callable[[], None],
    new_key: bool = False,
    vitals: Vitals | None = None,
    audited: Audited | None = None,
    reloads: Reloads | None = None,
) -> None:
    """Audit until `stopping` is set; while another daemon holds the ledger's lease, wait to take over.

    Args:
        ready: called when there is something to finish at a stop.
        stop: called when the stop begins.
        new_key, vitals, audited: see `Daemon`.
        reloads: reads the map again on request; without it the map never changes.

    Raises:
        LedgerError, ProbeError: the first start fails.
    """
    if not new_key:  # reported at once, and not only after waiting
        ledger = workspace.ledger()
        ledger.installation.check_key(workspace.digest_key())
        ledger.close()
    begun = False
    vitals = vitals or vitals_of(integration_map)

    def waits(why: str) -> None:
        log.warning(why)
        vitals.waits(why)

    while not stopping.is_set():
        try:
            tenure = take(workspace, "run", stopping=stopping, tell=waits)
            if tenure is None:
                return
            if reloads is not None:
                integration_map = reloads.newest(integration_map, vitals)
            daemon = Daemon(integration_map, workspace, tenure, new_key=new_key, vitals=vitals, audited=audited)
            daemon.start()
        except LedgerError as error:
            if not begun:
                raise
            log.error("%s; tried again every %.0f s", error, AGAIN_S)
            vitals.waits(str(error))
            stopping.wait(AGAIN_S)
            continue
        begun = True
        ready()
        if reloads is not None:
            reloads.started(daemon)
        daemon = audit(daemon, reloads, stopping)
        integration_map = daemon.map
        if stopping.is_set():
            vitals.waits("the auditor is stopping")
            stop()
        elif tenure.lost.is_set():
            waits("another auditor has taken over the ledger: stepping back; this one has written nothing since")
        daemon.stop()


def audit(daemon: Daemon, reloads: Reloads | None, stopping: threading.Event) -> Daemon:
    """Audit until `stopping` is set or the lease is lost.

    Returns:
        The daemon of the newest map; the caller stops it.
    """
    while not daemon.tenure.lost.is_set() and not stopping.wait(STEP_BACK_S):
        if reloads is None or not reloads.due(daemon):
            continue
        try:
            successor = reloads.turn(daemon, stopping)
            if successor is not None:
                daemon = successor
                daemon.start()
                reloads.followed(daemon)
        except LedgerError as error:
            log.error("%s; starting again", error)
            reloads.want()
            daemon.vitals.waits(str(error))
            break
    return daemon
