"""Temporal gait models, the feature channels they see, and their storage as safetensors."""
