"""Benchmarks of the service, each compared with a peer or a bound measured in the same run: `python -m benchmarks`."""
