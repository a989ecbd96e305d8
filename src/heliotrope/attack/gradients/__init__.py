"""Attacks along gradients, in torch: descents with fixed and adaptive steps, their losses, balls and transforms."""
