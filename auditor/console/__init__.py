"""The SQL console: what a stranger may ask, in a process of its own and within limits."""
