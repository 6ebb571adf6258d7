"""A small company of six systems round a bus, to be broken. It knows nothing of the auditor."""
