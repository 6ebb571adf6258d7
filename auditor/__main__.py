"""`python -m auditor` is the same as `auditor`."""

from auditor.cli import main

main()
