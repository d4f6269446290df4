"""Measurements of the service, each beside a peer or a bound measured in the same run: `python -m benchmarks`."""
