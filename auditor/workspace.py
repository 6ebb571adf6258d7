"""Where an installation keeps its state: the data folder, the ledger, the archive and the digest key."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from auditor.ledger import Ledger, LedgerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The places of one installation.

    Attributes:
        folder: private to the user who runs the auditor.
        ledger_url: SQLite in the folder, or a PostgreSQL that several machines share.
        archive: folder or fsspec address of the Parquet files.
    """

    folder: Path
    ledger_url: str
    archive: str

    @classmethod
    def at(
        cls, folder: Path, *, ledger_url: str | None = None, archive: str | None = None, make: bool = True
    ) -> Workspace:
        """The workspace in a folder, which is made if need be and wanted; the arguments override its defaults."""
        folder = folder.resolve()
        if make:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(
            folder=folder,
            ledger_url=ledger_url or f"sqlite:///{folder / 'ledger.sqlite'}",
            archive=archive or str(folder / "archive"),
        )

    def ledger(self) -> Ledger:
        """Open the ledger, brought to this version's schema. Raises LedgerError."""
        ledger = Ledger(self.ledger_url)
        ledger.migrate()
        return ledger

    def existing_ledger(self) -> Ledger | None:
        """Open the ledger that an auditor has made, None where there is none yet. Raises LedgerError."""
        ledger = Ledger(self.ledger_url)
        if not ledger.made():
            ledger.close()
            return None
        ledger.migrate()
        return ledger

    def lock(self) -> IO[str]:
        """Hold the folder for one daemon, until the answer is closed or the process ends.

        Raises:
            LedgerError: another daemon holds it.
        """
        held = (self.folder / "daemon.lock").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise LedgerError(
                f"another auditor runs on {self.folder}; stop it, or name another folder with --data"
            ) from None
        return held

    def digest_key(self) -> bytes:
        """The secret of the fingerprints, made at first use; `AUDITOR_DIGEST_KEY` overrides it."""
        given = os.environ.get("AUDITOR_DIGEST_KEY")
        if given:
            return given.encode()[:64]
        file = self.folder / "digest.key"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return bytes.fromhex(file.read_text(encoding="ascii"))
        with os.fdopen(descriptor, "w", encoding="ascii") as fresh:
            fresh.write(secrets.token_hex(32))
        return bytes.fromhex(file.read_text(encoding="ascii"))
