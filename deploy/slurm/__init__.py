"""Generates the files of a Slurm cluster from a list of machines: run `generate.py`; the guide is README.md."""
