"""Tests of `auditor.senders`."""
