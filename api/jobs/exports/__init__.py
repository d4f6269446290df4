"""Exports: a program that makes a saved model of a training's checkpoint."""
