"""The trainer `tdrussell/diffusion-pipe`: what it is told, and what can be known before it starts."""
