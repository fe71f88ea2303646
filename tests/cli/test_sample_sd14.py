"""``vbbench sample`` at the real size: loads, samples, saves, within the memory that its estimate says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.real_sd14 import write_real_weights
from vbbench.models.memory import estimate_memory
from vbbench.registry import resolve_models
from vbbench.resources import WEIGHTS_VARIABLE
from vbbench.types import SamplingParams
from vbbench.video import read_video

GIGABYTE = 1e9
MOST, ROOM = 24 * GIGABYTE, 9 * GIGABYTE
PARAMS = SamplingParams(num_frames=4, size=256, fps=8, num_inference_steps=2, guidance_scale=4.0, scheduler="ddim")


@pytest.fixture(scope="module")
def real_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real_weights(tmp_path_factory.mktemp("real-weights"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_real_size_clip_is_sampled_within_the_memory_that_was_told(
    dtype: str, real_weights: Path, tmp_path: Path, subprocess_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.full((300, 300, 3), 255, np.uint8)
    picture[80:220, 60:240] = (180, 90, 30)
    Image.fromarray(picture).save(tmp_path / "dog.png")
    words = ["sample", "--scale", "sd14", "--image", str(tmp_path / "dog.png"), "--text", "a dog on the beach", "--subject", "dog"]
    words += ["--steps", "2", "--num-frames", "4", "--dtype", dtype, "--device", "cpu", "--out", str(tmp_path / "out.mp4")]
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "vbbench", *words],
        env={**subprocess_environment, WEIGHTS_VARIABLE: str(real_weights)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, output
    video = read_video(tmp_path / "out.mkv")
    assert video.frames.shape == (4, 256, 256, 3)
    assert video.frames.std() > 1
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(real_weights))
    (recipe,) = resolve_models("videobooth")
    from vbbench.models.evaluation import asked

    told = estimate_memory(asked(recipe, "sd14", dtype=dtype), "sd14", PARAMS, "cpu")
    assert told is not None
    print(f"{dtype}: {time.perf_counter() - started:.0f} s, peak {peak / GIGABYTE:.2f} GB, told {told}")
    assert peak < MOST
    assert 0.7 * peak < told.total < 1.3 * peak
