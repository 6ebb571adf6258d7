"""The command line: data on standard output, everything else on standard error."""

from auditor.cli.commands import app, main

__all__ = ["app", "main"]
