"""From a run folder to a leaderboard: reading, statistics, tables and pages. Reads files only: no
model, no GPU, no network."""
