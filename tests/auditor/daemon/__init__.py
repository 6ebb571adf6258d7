"""Tests of `auditor.daemon`."""
