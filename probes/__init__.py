"""Probes read connected systems and queues, and never judge what they read."""
