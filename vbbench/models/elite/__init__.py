"""ELITE: image prompts encoded into a word and into local text features (Wei et al. 2023, arXiv
2302.13848)."""
