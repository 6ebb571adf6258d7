"""Alerts: from a notice in the outbox to the people and programs who should know."""
