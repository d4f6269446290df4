"""Diffusion-Pipe API: GPUs and diffusion training by HTTP."""

__version__ = "1.0.0"
