"""Links to saved models and library models in the LoRA directories of ComfyUI."""
