"""The probes of records, each against a real server."""
