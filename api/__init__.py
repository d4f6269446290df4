"""Diffusion-Pipe API: GPUs and diffusion training over HTTP."""

__version__ = "1.1.0"
