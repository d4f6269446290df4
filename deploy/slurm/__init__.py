"""Makes the files of a Slurm cluster from a list of machines: `generate.py` is the command, the README the guide."""
