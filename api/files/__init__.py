"""Files and what is in them, without nouns: stored blobs, archives, media, weight headers, disk space."""
