"""Alerts: from a notice in the outbox to the people and programs that should know."""
