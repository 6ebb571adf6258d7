"""Every figure of speed, accuracy and fault behaviour: `python -m benchmarks.NAME [--quick]`."""
