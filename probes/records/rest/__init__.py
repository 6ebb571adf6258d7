"""Records behind an HTTP API that answers JSON."""
