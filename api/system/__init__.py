"""System overview, health, and problems of the storage.

Other packages import `service.SystemService`.
"""
