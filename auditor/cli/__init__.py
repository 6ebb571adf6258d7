"""The command line: data on standard output, everything else on standard error."""

from auditor.cli import conflicts, findings, map
from auditor.cli.commands import main
from auditor.cli.options import app
from auditor.cli.serve import dashboard, demo

__all__ = ["app", "conflicts", "dashboard", "demo", "findings", "main", "map"]
