"""Checks of what a model does on ordinary, odd and faulty data, one module each; registered by heliotrope.quality.checks."""
