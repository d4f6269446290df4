"""What trainers with diffusion-pipe's protocol share: output, progress, run directory, checkpoints, failures."""
