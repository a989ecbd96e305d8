"""Ways to attribute a score to the parts of an input, one module each."""
