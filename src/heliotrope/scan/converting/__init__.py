"""Tensors taken out of clean files without loading them, and written as safetensors."""
