"""Tests of `auditor.audit.flow_audit`."""
