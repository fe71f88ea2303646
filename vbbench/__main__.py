"""``python -m vbbench``: the same as the command ``vbbench``."""

from __future__ import annotations

import sys

from vbbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
