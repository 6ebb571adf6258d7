"""Senders: how a notice reaches people or programs, one file for each kind."""
