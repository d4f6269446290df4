"""The trainer's installation: what its Python, its packages and its checkout lack, checked in its own interpreter.

Other packages import `check.InstallationCheck`.
"""
