"""One page over all published results."""
