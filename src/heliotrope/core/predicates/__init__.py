"""The shapes of evidence: one module per predicate type."""
