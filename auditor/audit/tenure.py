"""Holding a ledger's lease: waiting for it, keeping it while auditing, and stepping back when it is lost."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from auditor.ledger import LEASE_S, Lease, LeaseHeldError, Ledger, LedgerError, is_gone, this_process
from auditor.workspace import Workspace

RENEW_S = LEASE_S / 5
"""Time between two signs of life of the holder."""

LOOK_S = 1.0
"""Time between two checks of a waiting process: the longest gap without an auditor after a clean stop."""

log = logging.getLogger(__name__)


class Watcher:
    """Decides when a lease may be taken, from one process's observations of it. Pure but for `gone`.

    Args:
        gone: whether the holder of a lease is known to have ended.
    """

    def __init__(self, gone: Callable[[Lease], bool]) -> None:
        self._gone = gone
        self._seen: tuple[int, int] | None = None
        self._since_s = 0.0
        self._lives = False

    def may_take(self, lease: Lease, steady_s: float) -> bool:
        """Whether the lease may be taken.

        Args:
            steady_s: a monotonic clock of this process that stops while the machine sleeps.
        """
        if lease.holder is None or self._gone(lease):
            return True
        seen = (lease.token, lease.beat)
        if seen != self._seen:
            self._lives = self._seen is not None
            self._seen, self._since_s = seen, steady_s
        return steady_s - self._since_s >= LEASE_S

    @property
    def lives(self) -> bool:
        """Whether the holder has shown a sign of life since it was first seen."""
        return self._lives


class Tenure:
    """The time in which this process holds the lease.

    Args:
        keeper: a separate ledger, so that a busy pool cannot delay its signs of life. Closed with the tenure.
        token: drawn with the lease.

    Attributes:
        lost: set when another process has taken over.
        renewed_s: when it was last renewed, or could not be because the ledger failed, on the monotonic clock.
    """

    def __init__(self, keeper: Ledger, token: int) -> None:
        self.token = token
        self.lost = threading.Event()
        self.renewed_s = time.monotonic()
        self._keeper = keeper
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                if not self._keeper.lease.renew(self.token):
                    self.lost.set()
                    return
            except LedgerError:
                pass  # the next writer meets the same error and reports it
            self.renewed_s = time.monotonic()

    def end(self) -> None:
        """Release the lease, if it is still held, so that a waiting process continues at once."""
        if self._ended.is_set():
            return
        self._ended.set()
        with contextlib.suppress(LedgerError):
            self._keeper.lease.release(self.token)
        self._keeper.close()


def take(
    workspace: Workspace,
    does: str,
    *,
    stopping: threading.Event | None = None,
    tell: Callable[[str], None] = log.warning,
    patient: bool = True,
) -> Tenure | None:
    """Take the lease of an installation's ledger, waiting while another process holds it.

    Args:
        does: the purpose: run, once.
        stopping: ends the waiting.
        tell: called once with a text that names the holder.
        patient: also wait for a live holder; otherwise only as long as it takes to see that the holder is dead.

    Returns:
        The tenure, None if `stopping` ended the waiting.

    Raises:
        LeaseHeldError: another live process holds it, and `patient` is false.
        LedgerError: the ledger cannot be used.
    """
    keeper = workspace.ledger()
    mine = this_process(does, workspace.folder)
    watcher = Watcher(lambda lease: lease.holder is not None and is_gone(lease.holder, mine))
    stopping = stopping or threading.Event()
    reported: int | None = None
    try:
        while not stopping.is_set():
            try:
                lease = keeper.lease.now()
                if watcher.may_take(lease, time.monotonic()):
                    token = keeper.lease.take(lease, mine)
                    if token is not None:
                        if reported is not None:
                            tell("the ledger is free: starting to audit")
                        return Tenure(keeper, token)
                    continue
                if watcher.lives and not patient:
                    raise LeaseHeldError(
                        f"another auditor is using the ledger {keeper.name}: {lease}. "
                        "`auditor status` and `auditor drift` show what it finds; stop it to audit here"
                    )
                if lease.token != reported:
                    reported = lease.token
                    tell(f"another auditor is using the ledger {keeper.name}: {lease}; waiting to take over")
            except LeaseHeldError:
                raise
            except LedgerError as error:
                if not patient or reported is None:
                    raise
                log.debug("%s", error)
            stopping.wait(LOOK_S)
        keeper.close()
        return None
    except BaseException:
        keeper.close()
        raise


def take_now(workspace: Workspace, does: str, *, tell: Callable[[str], None] = log.warning) -> Tenure:
    """Take the lease, unless another live process holds it; see `take`."""
    tenure = take(workspace, does, tell=tell, patient=False)
    assert tenure is not None  # nothing ends the waiting
    return tenure


@contextlib.contextmanager
def held(workspace: Workspace, ledger: Ledger, does: str, *, tell: Callable[[str], None]) -> Iterator[Tenure]:
    """Write to a ledger under its lease for a while; see `take` for the errors if another process holds it."""
    tenure = take_now(workspace, does, tell=tell)
    ledger.database.token = tenure.token
    try:
        yield tenure
    finally:
        tenure.end()
