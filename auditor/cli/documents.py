"""JSON documents on standard output, for programs; loads nothing that draws tables."""

from __future__ import annotations

from auditor.cli.options import write
from auditor.escaping import unseen_escaped
from auditor.storage.strict_json import strict_json


def print_json(document: object) -> None:
    """Write one JSON document to standard output."""
    write(unseen_escaped(strict_json(document)) + "\n")
