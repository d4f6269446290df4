"""The guided walk over HTTP: it knows the service only by its address, and checks what it shows."""
