"""Ways to send notifications. `notifier` defines the interface; each other module implements one way."""
