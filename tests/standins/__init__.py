"""Servers of our own that stand in for systems nobody can install: written from the vendors' documents alone."""
