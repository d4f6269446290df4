"""Run attempts on the nodes of a Slurm cluster.

`client` calls slurmrestd; `jobs`, `nodes` and `cluster` hold its answers; `request` builds a job from a submission.
`early_jobs` submits jobs before their attempts exist, and `submitter` handles rejections. On the node,
`storage_check` checks the storage, and `batch` gives the supervisor the resources that Slurm chose (`placing`).
`executor` combines these; `ending` ends attempts that no process on a node can end.
"""
