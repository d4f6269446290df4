"""`python -m api` starts the service, as run.py and the command diffusion-pipe-api do."""

from api.main import run

if __name__ == "__main__":
    run()
