"""Live streams: a bounded broker, and two transports, SSE and WebSocket."""
