"""The program that renders samples with ComfyUI."""
