"""Weight files, identified by their content: `examine` describes a file, `header` reads a safetensors header."""
