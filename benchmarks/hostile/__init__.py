"""Attacks of every kind on every place where that kind can occur: bounded, named, told without a secret."""
