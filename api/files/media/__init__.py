"""Media files, decoded in processes of their own: what they are, thumbnails, and the pixels that are trained on.

The service calls `decoder`; everything else here runs in its children.
"""
