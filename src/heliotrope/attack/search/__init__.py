"""Attacks that only ask: greedy search over numbers, categories and squares."""
