"""Ways to people: `notifier` is the seam, each other module one way."""
