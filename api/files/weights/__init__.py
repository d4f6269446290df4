"""Files of weights, told by their content: `examine` says what a file is, `header` reads one of safetensors."""
