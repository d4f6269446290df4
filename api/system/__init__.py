"""The machine as a whole: overview, health, its servers' storage.

Others import `service.SystemService`.
"""
