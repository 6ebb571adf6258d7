"""Tests of `auditor.map`."""
