"""A small company whose systems really drift. It knows nothing of the auditor."""
