"""Files and their content: stored blobs, archives, media, weight headers, disk space. Independent of API resources."""
