"""Pictures and videos in and out of arrays: value ranges, and everything that can be wrong with a
file."""
