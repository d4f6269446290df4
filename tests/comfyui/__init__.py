"""The service with the real ComfyUI on the CPU: `make test-comfyui COMFYUI_ROOT=... COMFYUI_PYTHON=...`."""
