"""Tests of `auditor.conflicts`."""
