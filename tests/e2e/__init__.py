"""Tests of the whole service: a separate process and real sockets."""
