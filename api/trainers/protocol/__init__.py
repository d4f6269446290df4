"""What trainers of diffusion-pipe's kind share: their words, progress, run directory, checkpoints and ends."""
