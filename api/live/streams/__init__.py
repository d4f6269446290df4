"""One module for each stream: what it sends first, what it follows, and how it ends."""
