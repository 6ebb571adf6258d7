"""Records behind an HTTP API that returns JSON."""
