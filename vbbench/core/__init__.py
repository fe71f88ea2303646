"""The machine we run on: paths, whole-or-nothing files, digests, locks, processes, weights files.
Knows nothing of videos."""
