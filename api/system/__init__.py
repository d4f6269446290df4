"""The machine as a whole: overview, health, and what is wrong with the storage.

Others import `service.SystemService`.
"""
