"""The subcommands of `diffusion-pipe-api` other than `serve`, one module each."""
