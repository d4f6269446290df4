"""The program that pushes models to a hub."""
