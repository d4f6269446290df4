"""The program that downloads models."""
