"""The command line: help, wrong words, exit codes."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable

import pytest

import vbbench
from vbbench import cli
from vbbench.errors import CheckFailed, IncompleteError

COMMANDS = [(name,) for name in cli.COMMANDS] + [("world", "show")]


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_help_is_printed(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(" ".join(("usage: vbbench", *words)))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    listed = [
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")
    ]
    assert [name for name in cli.COMMANDS if name not in listed] == []


def test_help_is_quick_and_loads_nothing_heavy(subprocess_environment: dict[str, str]) -> None:
    code = "import sys; from vbbench.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=subprocess_environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    modules = {name.split(".")[0] for name in done.stderr.split()}
    assert "argparse" in modules
    assert modules & {"torch", "numpy", "PIL", "av", "pandas", "rich", "safetensors"} == set()
    assert (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    )  # seconds of work, however busy the machine


def test_no_command_prints_the_help_and_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: vbbench" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vbbench {vbbench.__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rnu"], "there is no command 'rnu': did you mean 'run'?"),
        (
            ["run", "--model", "x", "--sute", "y"],
            "unrecognized arguments: --sute y; `vbbench run --help` tells more.",
        ),
        (
            ["run", "--steps", "many"],
            "argument --steps: invalid int value: 'many'; `vbbench run --help` tells more.",
        ),
        (["run", "--models", "videobooht"], "there is no model or group 'videobooht'"),
        (["--verbos"], "unrecognized arguments: --verbos; `vbbench --help` tells more."),
        (["world", "show", "--out", "world.xyz"], "--out must end in .png, not 'world.xyz'."),
        (["metrics", "--scale", "maxi"], "there is no scale 'maxi'; there are mini, sd14."),
        (["report", "r" * 300], "r"),
        (["sample"], "the following arguments are required: --image, --text, --subject"),
        (["world"], "the following arguments are required: ACTION"),
        (["report"], "the following arguments are required: RUN"),
    ],
)
def test_wrong_words_are_answered_with_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"vbbench: {sentence}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (IncompleteError("two failed"), 3, "vbbench: two failed\n"),
        (CheckFailed("no"), 1, "vbbench: no\n"),
        (KeyboardInterrupt(), 130, "vbbench: interrupted.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            2,
            "vbbench: /data/x: No space left on device.\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "x"),
            2,
            "vbbench: x: File name too long.\n",
        ),
        (
            OSError(errno.ENOENT, "No such file or directory", "/proc/x"),
            2,
            "vbbench: /proc/x: No such file or directory.\n",
        ),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_main", fail)
    assert cli.main(["models"]) == code
    assert capsys.readouterr().err == told


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["models"])


def test_module_can_be_run(subprocess_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vbbench", "nonsense"],
        env=subprocess_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vbbench: there is no command 'nonsense'")


@pytest.fixture
def toy_recipes(recipe_folder: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' recipes in the place of the bundled ones."""
    from vbbench.models import registry

    folder = recipe_folder("noise").parent
    recipe_folder("tinted")
    monkeypatch.setattr(registry, "baselines_dir", lambda: folder)


def test_models_are_listed(toy_recipes: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "noise" in out
    assert "The subject's mean colour" in out
    assert "toys" in out


def test_suites_are_listed_and_a_damaged_one_named(
    make_suite: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vbbench.data import suites

    root = make_suite("tiny").root
    monkeypatch.setattr(suites, "prompts_dir", lambda: root.parent)
    assert cli.main(["suites"]) == 0
    assert "Three coloured squares." in capsys.readouterr().out
    (root / "images" / "cat-0.png").unlink()
    assert cli.main(["suites"]) == 2
    assert "damaged" in capsys.readouterr().out


def test_metrics_are_listed_with_their_spec_ids(capsys: pytest.CaptureFixture[str]) -> None:
    from vbbench.metrics import METRICS, get_metric

    assert cli.main(["metrics"]) == 0
    out = capsys.readouterr().out
    assert [name for name in METRICS if name not in out] == []
    assert get_metric("motion").spec.id in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "5"], "--frames goes with --explain"),
        (["--check", "--fps", "8"], "--fps goes with --explain"),
        (["--out", "x"], "--out goes with --validate"),
        (["--record"], "--record goes with --check"),
        (["--explain", "dino", "--fps", "-3"], "above 0"),
        (["--explain", "dino", "--storage", "tape"], "'tape'"),
        (["--explain", "dinno"], "Did you mean 'dino'"),
        (["--explain", "dino", "--run", "nowhere"], "no manifest.json"),
        (["--explain", "dino", "--run", "x", "--frames", "8"], "leave out --frames"),
        (["--scale", "sd14", "--clip", "nonsense"], "no clip encoder 'nonsense'"),
        (["--precision", "int8"], "int8"),
    ],
)
def test_options_of_metrics_that_make_no_sense_are_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["metrics", *arguments]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1


def test_telling_of_real_encoders_asks_no_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vbbench.core import hub

    monkeypatch.setattr(hub, "cached_file", lambda repository, file: None)
    monkeypatch.setattr(
        hub, "download_file", lambda repository, file: pytest.fail("the network was asked")
    )
    assert cli.main(["metrics", "--scale", "sd14"]) == 0
    assert cli.main(["metrics", "--scale", "sd14", "--explain", "clip-text"]) == 0
    out, err = capsys.readouterr()
    assert "ViT-B-32-quickgelu" in out
    assert "clip-vit-b-32 are not at hand" in err
