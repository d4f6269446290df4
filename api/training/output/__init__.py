"""What trainings write: artifacts, checkpoints, saved models, and exports of them."""
