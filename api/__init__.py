"""Diffusion-Pipe API: GPUs and diffusion training over HTTP."""

__version__ = "1.0.0"
