"""The page of how metrics answer to damage."""
