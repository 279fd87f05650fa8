"""The figures: what each measures, against what, and what it is to reach."""
