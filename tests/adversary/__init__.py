"""Malicious model files with a harmless payload, and a sandboxed process that shows which of them really run it."""
