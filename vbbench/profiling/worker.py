"""``python -m vbbench.profiling.worker``: the peak memory of one call. A request as JSON on
standard input, the answer on standard output.

Request: ``{"target": "module:function", "arguments": {...}, "threads": 1}``; see
`vbbench.profiling.memory.peak_in_fresh_process`.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from typing import Any

from vbbench.profiling.memory import peak_of


def answer(request: dict[str, Any]) -> dict[str, float]:
    """Make the call that is asked for, once."""
    import torch

    torch.set_num_threads(int(request["threads"]))
    module, name = request["target"].split(":")
    run = getattr(importlib.import_module(module), name)(**request["arguments"])
    gc.collect()
    return {"peak_mb": peak_of(run, "cpu")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))) + "\n")
