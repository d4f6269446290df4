"""The whole service: a process of its own, real sockets."""
