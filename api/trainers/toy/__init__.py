"""A toy trainer: a tiny diffusion model on the CPU with the protocol of the real trainer."""
