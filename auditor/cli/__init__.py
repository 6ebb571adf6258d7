"""The command line: data on standard output, everything else on standard error."""

from auditor.cli import design, findings, people
from auditor.cli.commands import main
from auditor.cli.serve import dashboard, demo
from auditor.cli.shared import app

__all__ = ["app", "dashboard", "demo", "design", "findings", "main", "people"]
