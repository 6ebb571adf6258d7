"""Tests of `auditor.console`."""
