"""Parts of tools/tour.py. Nothing here imports the service, so that older checkouts can be recorded, too."""
