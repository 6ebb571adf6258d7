"""Tests of `auditor.history`."""
