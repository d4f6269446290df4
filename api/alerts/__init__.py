"""Alerts: entered through `service` (alerts, silences), `rules` and `channels`; `loop` evaluates, `outbox` delivers."""
