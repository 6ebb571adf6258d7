"""The SQL console: untrusted queries, in a process of their own and within limits."""
