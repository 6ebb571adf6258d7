"""Conflicts that people decide: applying the policy, recording decisions, proposing repairs."""
