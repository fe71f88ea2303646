"""What was found, as numbers: tables, intervals, comparisons, verdicts. No pages, no torch."""
