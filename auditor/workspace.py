"""Where an installation keeps its state: the data folder, the ledger, the archive and the digest key."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.storage import private_files
from auditor.storage.ledger_error import LedgerError

if TYPE_CHECKING:
    from auditor.ledger import Ledger

DIGEST_KEY_BYTES = 32
"""Length of a digest key that the auditor makes: as long as the digest it keys, so that nobody guesses it."""

LEAST_KEY_BYTES = 16
"""The shortest key that `AUDITOR_DIGEST_KEY` may give: with 128 bits nobody finds values by trying keys."""

MOST_KEY_BYTES = 64
"""What BLAKE2 takes; of a longer text the beginning counts."""

NEW_KEY = (
    "restore it from a backup; or, if nothing was recorded with it yet, delete it: the next start makes a new one"
)


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
            private_files.make_folder(folder)
        return cls(
            folder=folder,
            ledger_url=ledger_url or f"sqlite:///{folder / 'ledger.sqlite'}",
            archive=archive or str(folder / "archive"),
        )

    def ledger(self) -> Ledger:
        """Open the ledger, brought to this version's schema. Raises LedgerError."""
        from auditor.ledger import Ledger

        ledger = Ledger(self.ledger_url)
        ledger.migrate()
        return ledger

    def existing_ledger(self) -> Ledger | None:
        """Open the ledger that an auditor has made, None where there is none yet. Raises LedgerError."""
        from auditor.ledger import Ledger

        ledger = Ledger(self.ledger_url)
        if not ledger.made():
            ledger.close()
            return None
        ledger.migrate()
        return ledger

    def loose(self) -> list[Path]:
        """What of the installation others than its owner may read or write.

        Files in a folder that nobody else may enter are as private as the folder.
        """
        if not private_files.open_to_others([self.folder]):
            return []
        held = [self.folder / name for name in ("digest.key", "ledger.sqlite", "archive", "logs", "company")]
        return [self.folder, *private_files.open_to_others(held)]

    @property
    def loose_text(self) -> str:
        """What to do where others may read or write the installation, "" where they may not."""
        loose = self.loose()
        if not loose:
            return ""
        named = ", ".join(map(str, loose))
        return f"other users may read or change {named}: run `chmod -R go= {self.folder}` unless that is intended"

    def digest_key(self, *, begin_anew: bool = False) -> bytes:
        """The secret of the fingerprints, made at first use; `AUDITOR_DIGEST_KEY` overrides it.

        Args:
            begin_anew: make one also where the ledger was made with a key that is no longer there.

        Raises:
            LedgerError: it is empty, short, no key, or others may read it; or it is gone, and the ledger knows it.
        """
        given = os.environ.get("AUDITOR_DIGEST_KEY")
        if given:
            key = given.encode()[:MOST_KEY_BYTES]
            if len(key.strip()) < LEAST_KEY_BYTES:
                raise LedgerError(
                    f"AUDITOR_DIGEST_KEY has {len(key.strip())} bytes, at least {LEAST_KEY_BYTES} are needed: "
                    "set a random text of 32 characters or more, or unset it to use digest.key in the data folder"
                )
            return key
        file = self.folder / "digest.key"
        if not os.path.lexists(file):
            if not begin_anew:
                self._must_know_no_key(file)
            fresh = secrets.token_hex(DIGEST_KEY_BYTES).encode("ascii")
            try:
                private_files.write(file, fresh, replace=False)
            except FileExistsError:
                pass  # another process was quicker: its key counts
            except OSError as error:
                raise LedgerError(f"cannot write the digest key {file}: {error.strerror}; {MAKE_ROOM}") from None
        return _read_key(file)

    def _must_know_no_key(self, file: Path) -> None:
        ledger = self.existing_ledger()
        if ledger is None:
            return
        known = ledger.installation.knows_key()
        ledger.close()
        if known and not os.path.lexists(file):  # which another process may have made meanwhile
            raise LedgerError(
                f"the digest key {file} is missing, and the ledger {ledger.name} was made with it: restore it from a "
                "backup; where it is lost, `--new-digest-key` begins a new series of fingerprints"
            )


MAKE_ROOM = "let the auditor's user write the data folder and check that its disk has room"


def _read_key(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us
    except OSError as error:
        raise LedgerError(
            f"cannot read the digest key {file}: {error.strerror}; let the auditor's user read it"
        ) from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise LedgerError(f"the digest key {file} is no file; {NEW_KEY}")
    with os.fdopen(descriptor, "rb") as opened:
        if about.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            raise LedgerError(
                f"the digest key {file} can be read or changed by others (mode {stat.S_IMODE(about.st_mode):03o}): "
                f"run `chmod 600 {file}`, and consider what others have read with it as known to them"
            )
        text = opened.read(4 * MOST_KEY_BYTES)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise LedgerError(
            f"the digest key {file} is damaged: it is not {2 * DIGEST_KEY_BYTES} hex digits; {NEW_KEY}"
        ) from None
    if not DIGEST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        size = "empty" if not key else f"{len(key)} bytes long instead of {DIGEST_KEY_BYTES}"
        raise LedgerError(f"the digest key {file} is {size}; {NEW_KEY}")
    return key
