"""A small run that has everything a report must cope with: three models, references, a failure, a
prompt full of markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.results.synthetic import FakeRun, build, items

WEIRD = 'a <b>dog</b> "quoted" & \'single\' 🐕 </script><script>document.title = "broken in"</script> مرحبا {{ 7 * 7 }} | dog'
REASON = "no memory left <img src=x onerror=alert(1)>"


def weird_run() -> FakeRun:
    """Eight individuals, one item each; numbers differ by model and item."""

    def value(model: str, item: str, metric: str) -> float | str:
        if (model, item, metric) == ("textual-inversion", "i2", "dino"):
            return "the embedding is zero"
        strength = {
            "videobooth": 0.6,
            "text-to-video": 0.3,
            "textual-inversion": 0.45,
            "real-video": 0.8,
        }.get(model, 0.2)
        return (1 - strength if metric == "clip-text" else strength) + int(item[1:]) / 100

    run = FakeRun(
        items(8),
        value,
        failed={("text-to-video", "i1"): REASON},
        missing=frozenset({("videobooth", "i3")}),
    )
    run.items[0].text = WEIRD
    return run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return build(tmp_path / "run", weird_run())
