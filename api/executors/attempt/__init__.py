"""What runs around one attempt, in a process of its own that outlives the service.

It must stay small, so nothing here imports more than a few modules of the standard library (no typing, no dataclasses,
no subprocess: each costs memory), and of ours only what stands here and `api.util.foreign_files`.

An attempt's directory holds: `spec.json` and `environment.json` (what to start; the latter may hold secrets and is
removed once the trainer has them), `stop.json` (an order to stop), `lock` (held while a supervisor lives), `fence`
(raised at each start), `runner.json` (who runs), `heartbeat` (its time of change), `output` or `output.fifo` (what the
trainer prints), `output.ledger` (how much of it was taken), `processes` (who was seen), `supervisor.log`, and at last
`exit.json`; on a cluster also `uid`, by which its machine knows that it sees the storage, and `leave.json` (the order
that a SIGTERM of the engine stands for). Every JSON file is written
under another name and renamed.
A trainer that runs as the same user can write all of this, so that every file is read and written by
`api.util.foreign_files`.
"""
