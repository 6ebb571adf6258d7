"""The connected systems: how they are read, within limits, and what they look like from outside."""
