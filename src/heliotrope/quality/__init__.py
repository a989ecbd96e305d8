"""Checks of what a model does on ordinary data. The built-in check is registered by heliotrope.quality.checks."""
