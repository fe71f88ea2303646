"""Runs every case of a folder and prints one line for each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.parity.cases import KINDS, Kind
from tests.parity.golden import Released, read_golden
from vbbench.attention import BACKENDS
from vbbench.errors import VBBenchError

NOT_CASES = ("weights_*.safetensors", "*_keys.json", "*_keys.txt", "README.md")
"""Files that belong to a golden folder and are no cases."""


def main(arguments: Sequence[str]) -> int:
    """Compare a folder; returns the exit code."""
    if len(arguments) not in (1, 3) or arguments[1:2] not in ([], ["--backend"]):
        print("usage: python -m tests.parity DIR [--backend NAME]", file=sys.stderr)
        return 2
    folder, backend = Path(arguments[0]), arguments[2] if len(arguments) == 3 else None
    if backend is not None and backend not in BACKENDS:
        print(f"there is no attention backend {backend}; there are {', '.join(BACKENDS)}", file=sys.stderr)
        return 2
    if not folder.is_dir():
        print(f"{folder} is not a folder", file=sys.stderr)
        return 2
    files = sorted(path for path in folder.iterdir() if not any(path.match(pattern) for pattern in NOT_CASES))
    cases = [(path, kind) for path in files if (kind := _kind(path)) is not None]
    for path in files:
        if _kind(path) is None:
            print(f"{path.name:32} unknown: no kind of case is named so")
    if not cases:
        print(f"{folder} holds no case", file=sys.stderr)
        return 2
    released = Released(folder, backend)
    results = [_report(path, kind, released) for path, kind in cases]
    print(f"{sum(results)} of {len(results)} cases within tolerance")
    return 0 if all(results) else 1


def _kind(path: Path) -> Kind | None:
    if path.suffix != ".safetensors":
        return None
    return next((kind for start, kind in KINDS.items() if path.stem.startswith(start)), None)


def _report(path: Path, kind: Kind, released: Released) -> bool:
    unit = " of the maximum" if kind.relative else ""
    try:
        difference = _largest_difference(path, kind, released)
    except KeyError as error:
        print(f"{path.stem:32} MISS: the file lacks {error}")
        return False
    except (VBBenchError, ValueError, RuntimeError) as error:
        print(f"{path.stem:32} MISS: {error}")
        return False
    fine = difference <= kind.tolerance
    print(f"{path.stem:32} {difference:.2e} (tolerance {kind.tolerance:.0e}{unit})  {'ok' if fine else 'MISS'}")
    return fine


@torch.no_grad()
def _largest_difference(path: Path, kind: Kind, released: Released) -> float:
    largest = 0.0
    for ours, recorded in kind.run(read_golden(path), released):
        if ours.shape != recorded.shape:
            return float("inf")
        difference = (ours.double() - recorded.double()).abs().max().item()
        if kind.relative:
            difference /= recorded.double().abs().max().item()
        # max() would drop a NaN
        largest = difference if not difference <= largest else largest
    return largest
