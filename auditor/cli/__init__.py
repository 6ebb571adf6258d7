"""The command line: data on standard output, everything else on standard error."""

from auditor.cli.interrupts import quiet

with quiet():
    from auditor.cli.options import app
    from auditor.cli.program import main

__all__ = ["app", "main"]
