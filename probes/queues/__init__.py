"""Probes that read queues and their dead letters."""
