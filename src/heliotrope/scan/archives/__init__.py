"""Files within files: their own accounts of what they hold, and what is inside."""
