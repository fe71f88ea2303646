"""The gate: a run held against recorded scores."""
