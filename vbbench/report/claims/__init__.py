"""The claims of the VideoBooth paper, each held against stored scores: read by `vbbench claims`.
What metrics claim to see is elsewhere, in `vbbench.metrics.validation.claims`."""
