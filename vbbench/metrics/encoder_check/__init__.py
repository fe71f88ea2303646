"""Do the scoring encoders still see what they saw? Recorded embeddings of fixed inputs, compared
with fresh ones."""
