"""Figures of the pages and of the paper, in one style."""
