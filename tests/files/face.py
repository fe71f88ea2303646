"""The lines of README.md's "From Python", each twice, without a guard for ``__main__``.

python face.py [--everything], in a folder that holds suite/, recipes/, a run in runs/mini and
scores.json; with --everything after every submodule of vbbench has been imported.
"""

import importlib
import pkgutil
import sys

import numpy as np
from PIL import Image

import vbbench

if "--everything" in sys.argv:
    for module in pkgutil.walk_packages(vbbench.__path__, "vbbench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
picture = Image.new("RGB", (16, 16), "white")
models = ["recipes/noise", "./recipes/tinted"]
for _ in range(2):
    run = vbbench.run(
        models,
        suite="suite",
        references=False,
        prompts_per_subject=1,
        metrics="motion",
        progress=False,
    )
    assert list(run.table["sampled"]) == [3, 3], run.table
    assert run.scores["value"].notna().all(), run.scores
    assert run.failures.empty, run.failures
    compared = vbbench.load_run("runs/mini").compare("videobooth", "text-to-video")
    assert list(compared["metric"]) == ["clip-text", "dino", "temporal-consistency"], compared
    found = vbbench.score(
        videos=[frames, "missing.mp4"],
        texts=["a dog", "a cat"],
        images=[picture, picture],
        metrics="motion",
        progress=False,
    )
    assert list(found.scores["value"].notna()) == [True, False], found.scores
    assert "missing.mp4" in found.failures["reason"].iloc[0], found.failures
    checked = vbbench.check_gate("runs/mini", against="scores.json")
    assert checked.ok, checked.verdicts
assert type(vbbench.run).__name__ == "function"
