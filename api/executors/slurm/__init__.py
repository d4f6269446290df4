"""Attempts on the machines of a Slurm cluster.

`client` speaks with slurmrestd, `jobs`, `nodes` and `cluster` are what it says, `request` makes a job of a submission;
on the node `sight` looks for the storage, and `batch` gives the supervisor what Slurm chose (`placing`). `executor`
puts it together, `ending` ends what nobody on a node can.
"""
