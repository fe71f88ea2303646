"""What the package tells people while it works: through Python's logging, so that a program that
uses it decides whether and where it is shown. `vbbench.cli.log_lines` shows it on a terminal."""

from __future__ import annotations

import logging

LOG = logging.getLogger("vbbench")
"""Notes on anything that takes long or was mended."""
TRAINING = logging.getLogger("vbbench.training")
"""What a training tells beside its progress: results, and what was passed over."""
