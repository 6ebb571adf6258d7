"""Attacks and accidents as plain data: one module for each kind, which tests and benchmarks run over every place."""
