"""What a model looks at: attributions, shortcuts, hints at triggers, drift; registered by heliotrope.explain.checks."""
