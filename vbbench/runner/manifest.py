"""What a reader of a run must know of how it was made."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from vbbench.core.environment import commit
from vbbench.core.version import __version__
from vbbench.types import MetricSpec, PromptSuite


def make_manifest(
    suite: PromptSuite,
    scale: str,
    models: Mapping[str, Any],
    specs: Iterable[MetricSpec],
    environment: Mapping[str, Any],
    prompts_per_subject: int | None = None,
) -> dict[str, Any]:
    """The manifest of a run that starts now.

    Args:
        models: name -> what is said of it.
        environment: machine, versions, threads.
        prompts_per_subject: the run is restricted to the first so many items of each subject; None
            where it is not.
    """
    return {
        "vbbench": __version__,
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
        "scale": scale,
        "prompts_per_subject": prompts_per_subject,
        "models": dict(models),
        "params": {"num_frames": suite.num_frames, "size": suite.size, "fps": suite.fps},
        "metrics": {spec.name: asdict(spec) for spec in specs},
        "environment": dict(environment),
        "commit": commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        # a file name that is no UTF-8 must not keep the manifest from being written
        "command": shlex.join(["vbbench", *sys.argv[1:]])
        .encode("utf-8", "backslashreplace")
        .decode("utf-8"),
    }
