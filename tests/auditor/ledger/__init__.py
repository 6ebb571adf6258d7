"""Tests of `auditor.ledger`."""
