"""Fingerprints of model components, as data; `files.weights.recognition` reads the `table`."""
