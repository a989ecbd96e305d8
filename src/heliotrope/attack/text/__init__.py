"""Attacks on texts: edits of characters and substitutes from a table, greedy by importance."""
