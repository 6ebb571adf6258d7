"""Tests of `auditor.alerts`."""
