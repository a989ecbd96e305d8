"""Attacks that see nothing but which class a model names."""
