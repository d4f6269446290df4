"""GPUs: monitored, judged, shown, offered and held. Entered through `service`."""
