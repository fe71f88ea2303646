"""What can be learned: one objective a file."""
