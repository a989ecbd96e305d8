"""Attacks on models. The built-in check is registered by heliotrope.attack.checks."""
