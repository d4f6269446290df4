"""Diffusion-Pipe API: GPUs and diffusion training by HTTP."""

__version__ = "0.1.0"
