"""Tests of `auditor.systems`."""
