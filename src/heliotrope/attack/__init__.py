"""Attacks on models. The built-in checks are registered by heliotrope.attack.checks."""
