"""The trainer tdrussell/diffusion-pipe."""
