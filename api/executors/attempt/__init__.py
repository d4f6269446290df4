"""The process that runs one attempt and outlives the service.

It must stay small. So these modules import little of the standard library (no typing, dataclasses or subprocess, which
cost memory), and of this project only this package and `api.util.files.foreign_files`.

Files in an attempt's directory:

- `spec.json` and `environment.json`: what to start; the latter may contain secrets and is removed once the trainer has
  started
- `stop.json`: an order to stop
- `lock`: held while a supervisor lives
- `fence`: incremented by each supervisor
- `runner.json`: the supervisor and its trainer
- `heartbeat`: its modification time shows that the supervisor lives
- `output` or `output.fifo`: the trainer's output
- `output.ledger`: how much output was processed
- `processes`: all processes seen
- `supervisor.log`: the supervisor's own messages
- `exit.json`: the outcome, written last
- on a cluster also `uid`, by which a node recognises the storage, and `leave.json`, the order for a SIGTERM of the
  engine

Every JSON file is written under another name and renamed. A trainer that runs as the same user can write all of these,
so every file is read and written by `api.util.files.foreign_files`.
"""
