"""Profiles: how long the parts of a clip take, what memory they hold, and how far that is from what
the device could do.

A profile is a name and a function ``(Options) -> Record``; ``vbbench/cli/profile.py`` has the
table. Page and pictures take any record.
"""
