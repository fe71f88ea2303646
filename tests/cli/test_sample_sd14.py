"""``vbbench sample`` at the real size: loads, samples, saves, within the memory that its estimate
says."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.real_sd14 import write_real_weights
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.media.video import read_video
from vbbench.models.evaluation import asked
from vbbench.models.memory import estimate_memory
from vbbench.models.registry import resolve_models
from vbbench.types import SamplingParams

GIGABYTE = 1e9
MOST, ERROR = 24 * GIGABYTE, 0.15
PARAMS = SamplingParams(
    num_frames=4, size=256, fps=8, num_inference_steps=2, guidance_scale=4.0, scheduler="ddim"
)

LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "vbbench", *sys.argv[1:]])
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
# A child's ru_maxrss begins with its parent's peak, and this process wrote the weights: a small one
# stands between them.


@pytest.fixture(scope="module")
def real_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = write_real_weights(tmp_path_factory.mktemp("real-weights"))
    yield root
    shutil.rmtree(root)  # 3.3 GB, which pytest would keep for some runs


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_real_size_clip_is_sampled_within_the_memory_that_was_told(
    dtype: str,
    real_weights: Path,
    tmp_path: Path,
    subprocess_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = np.full((300, 300, 3), 255, np.uint8)
    picture[80:220, 60:240] = (180, 90, 30)
    Image.fromarray(picture).save(tmp_path / "dog.png")
    words = [
        "sample",
        "--scale",
        "sd14",
        "--image",
        str(tmp_path / "dog.png"),
        "--text",
        "a dog on the beach",
        "--subject",
        "dog",
    ]
    words += [
        "--steps",
        "2",
        "--num-frames",
        "4",
        "--dtype",
        dtype,
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "out.mp4"),
    ]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *words],
        env={**subprocess_environment, WEIGHTS_VARIABLE: str(real_weights)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    peak = int(done.stdout.splitlines()[-1]) * (1 if sys.platform == "darwin" else 1024)
    video = read_video(tmp_path / "out.mkv")
    assert video.frames.shape == (4, 256, 256, 3)
    assert video.frames.std() > 1
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(real_weights))
    (recipe,) = resolve_models("videobooth")
    told = estimate_memory(asked(recipe, "sd14", dtype=dtype), "sd14", PARAMS, "cpu")
    assert told is not None
    print(
        f"{dtype}: {time.perf_counter() - started:.0f} s, peak {peak / GIGABYTE:.2f} GB, told {told}"
    )
    assert peak < MOST
    assert abs(told.total - peak) < ERROR * peak
