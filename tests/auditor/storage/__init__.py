"""Tests of `auditor.storage`."""
