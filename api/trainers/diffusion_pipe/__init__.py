"""The trainer `tdrussell/diffusion-pipe`: requests, plans and checks before a start."""
