"""``vbbench claims``: verdicts from run folders and stored scores; what is lacking or damaged is a
sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.results.claims.synthetic import STRENGTH, make_run, names_of, strengths
from tests.results.synthetic import FakeRun, build, items, spec
from vbbench import cli
from vbbench.core import paths
from vbbench.results.claims.stored import write_scores

ALL = ("dino", "clip-image", "clip-text", "true-identity")


def folder(
    root: Path,
    models: Mapping[str, tuple[str, int | None]],
    *,
    individuals: int = 6,
    **changes: object,
) -> Path:
    """A run folder whose models have the usual strengths."""

    def value(model: str, item: str, metric: str) -> float:
        wobble = ((7 * int(item[1:]) + 3 * len(model)) % 5) / 500
        return (0.6 if metric == "clip-text" else STRENGTH[models[model][0]]) + wobble

    run = FakeRun(
        items(individuals, 2),
        value,
        models={name: (name, ("ablations",)) for name in models},
        metrics=tuple(map(spec, ALL)),
        **changes,
    )
    path = build(root, run, videos=False)
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    for name, (recipe, seed) in models.items():
        manifest["models"][name] |= {"recipe": recipe, "training_seed": seed}
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's folder for published scores, empty."""
    monkeypatch.setattr(paths, "data_root", lambda: tmp_path / "checkout")
    return tmp_path / "checkout" / "reports" / "mini"


def test_all_that_is_measured_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = write_scores(make_run(strengths()), tmp_path)
    assert cli.main(["claims", "--scores", str(scores), "--out", str(tmp_path / "out")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Of 17 claims: 17 reproduced." in out
    assert "Coarse-to-fine keeps the subject better than coarse only: DINO +0." in out
    assert "over 12 individuals and 3 trainings: reproduced." in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "claims.html",
        "claims.md",
        "claims.json",
        "report.css",
        "report.js",
    }


def test_a_claim_that_is_not_reproduced_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = write_scores(make_run(strengths({"videobooth": 0.0})), tmp_path)
    assert cli.main(["claims", "--scores", str(scores)]) == 0
    assert "not reproduced" in capsys.readouterr().out


def test_runs_with_several_trainings_are_put_together_and_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = names_of()
    first = {name: about for name, about in names.items() if about[1] in (None, 0)}
    more = {
        name: about
        for name, about in names.items()
        if about[1] or about[0] in ("text-to-video", "videobooth-fine")
    }
    runs = [str(folder(tmp_path / "a", first)), str(folder(tmp_path / "b", more))]
    assert cli.main(["claims", *runs, "--store", str(tmp_path / "stored")]) == 0
    out = capsys.readouterr().out
    assert "over 6 individuals and 3 trainings" in " ".join(out.split())
    assert cli.main(["claims", "--scores", str(tmp_path / "stored" / "scores.csv")]) == 0
    again = capsys.readouterr().out
    assert again.split("The paper's claims")[1] == out.split("The paper's claims")[1]
    assert cli.main(["claims", runs[0], "--scores", str(tmp_path / "stored" / "scores.csv")]) == 0


def test_models_that_are_lacking_are_named_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {"videobooth": ("videobooth", 0), "textual-inversion": ("textual-inversion", None)}
    assert cli.main(["claims", str(folder(tmp_path / "run", models))]) == 3
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(
        "vbbench: 15 claims of 17 are not measured (no scores of dreambooth-video, elite,"
    )
    assert "`vbbench run --suite tiny --models dreambooth-video,elite," in captured.err
    assert "one training, not established" in " ".join(captured.out.replace("│", " ").split())


def test_failures_are_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {"videobooth": ("videobooth", 0), "textual-inversion": ("textual-inversion", None)}
    path = folder(
        tmp_path / "run", models, failed={("videobooth", "i3"): "no [red]memory[/red] \x1b[31m"}
    )
    assert cli.main(["claims", str(path)]) == 3
    out = " ".join(capsys.readouterr().out.split())
    assert "Items without a value, left out of every model: videobooth 1." in out
    assert "No value for videobooth, video: 1 item: no [red]memory[/red]" in out
    assert "\x1b" not in out


def test_without_names_it_is_the_published_scores(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["claims"]) == 2
    assert capsys.readouterr().err.startswith(
        f"vbbench: there are no published scores at {published / 'scores.csv'}: name run folders,"
    )
    write_scores(make_run(strengths()), published)
    assert cli.main(["claims"]) == 0
    assert "17 reproduced" in capsys.readouterr().out


def test_bad_input_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = write_scores(make_run(strengths(), names_of(1)), tmp_path / "a")
    other = write_scores(make_run(strengths(), names_of(1), metrics=("dino",)), tmp_path / "b")
    empty = tmp_path / "empty"
    empty.mkdir()
    for words, code, says in (
        ([str(empty)], 2, "is not a run folder"),
        (["--scores", str(empty)], 2, "cannot be read"),
        (["--scores", str(tmp_path / "none.csv")], 2, "none.json cannot be read"),
        (["--scores"], 2, "expected at least one argument"),
        (["--scores", str(scores), str(other)], 3, "was measured in one of them alone"),
    ):
        assert cli.main(["claims", *words]) == code
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
    scores.write_text("model\n", "utf-8")
    assert cli.main(["claims", "--scores", str(scores)]) == 2
    assert "are damaged" in capsys.readouterr().err
    manifest = folder(tmp_path / "run", {"elite": ("elite", 0)}) / "manifest.json"
    manifest.write_text(
        manifest.read_text("utf-8").replace('"training_seed": 0', '"training_seed": "zero"'),
        "utf-8",
    )
    assert cli.main(["claims", str(manifest.parent)]) == 2
    assert "'zero' is no training seed" in capsys.readouterr().err


def test_a_run_from_before_trainings_had_numbers_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "run", {"videobooth": ("videobooth", 0), "elite": ("elite", 0)})
    record = json.loads((path / "manifest.json").read_text("utf-8"))
    for model in record["models"].values():
        del model["recipe"], model["training_seed"]
    (path / "manifest.json").write_text(json.dumps(record), "utf-8")
    assert cli.main(["claims", str(path)]) == 3
    assert "VideoBooth keeps the subject better than ELITE: DINO" in capsys.readouterr().out


def test_the_published_scores_answer_every_claim_with_three_trainings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["claims", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "claims.json").read_text("utf-8"))
    found = {claim["name"]: claim for claim in record["claims"]}
    assert all(
        claim["verdict"] in ("reproduced", "not reproduced", "undecided")
        for claim in found.values()
    )
    for name in (
        "coarse-to-fine-over-coarse",
        "coarse-to-fine-over-fine",
        "coarse-to-fine-over-joint",
        "joint-leaves-coarse-untaught",
    ):
        assert found[name]["established"] == (found[name]["verdict"] != "undecided")
        for finding in found[name]["findings"]:
            assert finding["training_seeds"] == [0, 1, 2]
            assert finding["individuals"] >= 45
