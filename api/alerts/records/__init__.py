"""Alerts, rules, channels and notifications in the database."""
