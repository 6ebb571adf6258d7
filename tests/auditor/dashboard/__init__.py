"""Tests of `auditor.dashboard`."""
