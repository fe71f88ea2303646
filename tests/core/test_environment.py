"""Where a run takes place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from vbbench.core.environment import commit, describe, usable_cores


def test_environment_names_versions_cpu_and_threads() -> None:
    facts = describe("cpu", 3)
    assert facts["torch"] == torch.__version__.split("+")[0]
    assert facts["numpy"] == np.__version__
    assert (facts["device"], facts["threads"], facts["cores"]) == ("cpu", 3, usable_cores())
    assert facts["cpu"]


MEMORY = """
import numpy as np
from vbbench.core.environment import PeakMemory
memory = PeakMemory("cpu")
before = memory.megabytes()
held = np.ones(30_000_000)  # 240 MB, touched
during = memory.megabytes()
del held
memory.reset()
print(before, during, memory.megabytes())
"""


def test_memory_peak_is_seen_and_forgotten(subprocess_environment: dict[str, str]) -> None:
    """In a process of its own: what others have left behind would be filled first."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        capture_output=True,
        text=True,
        check=True,
        env=subprocess_environment,
    )
    before, during, after = map(float, done.stdout.split())
    assert during - before > 200
    assert after < during - 150


def test_commit_is_a_hash_or_nothing() -> None:
    found = commit()
    assert found is None or len(found.removesuffix("+changes")) == 40
