"""Probes that read records."""
