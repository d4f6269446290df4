"""The streams: a bounded broker and its two transports, SSE and WebSocket."""
