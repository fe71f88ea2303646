"""What the package tells people while it works: through Python's logging, so that a program that
uses it decides whether and where it is shown. The command line shows it (`vbbench.cli.spoken`)."""

from __future__ import annotations

import logging

LOG = logging.getLogger("vbbench")
"""Notes on anything that takes long or was mended."""
TRAINING = logging.getLogger("vbbench.training")
"""What a training tells beside its progress: results, and what was passed over."""
