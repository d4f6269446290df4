"""What tools/tour.py is made of. Nothing here imports the service, so that older checkouts can be recorded, too."""
