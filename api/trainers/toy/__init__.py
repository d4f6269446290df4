"""A toy trainer: a tiny diffusion model on the CPU that honours the real trainer's protocol."""
