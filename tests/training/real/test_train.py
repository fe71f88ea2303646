"""Both stages on real files: neither processes, microbatches, caches nor kills change what is
learned."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import time
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.real.dataset import CLIPS, SETTINGS, command, ids, losses, run, start
from vbbench.cli import main
from vbbench.core.digests import file_digest
from vbbench.core.weights_file import read_card
from vbbench.errors import InputError, UsageError, VBBenchError, WeightsError
from vbbench.networks.loading import load_videobooth
from vbbench.networks.vae import VaeCodec
from vbbench.training import checkpoint
from vbbench.training.loop import locked
from vbbench.training.real.clips import RealData
from vbbench.training.real.parts import Processes

SHORT = dataclasses.replace(SETTINGS, steps=4)


def furthest(one: Path, other: Path) -> float:
    """The largest difference of two files' weights, beside each tensor's largest value."""
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    return max(
        float((a[key] - b[key]).abs().max() / a[key].abs().max().clamp_min(1e-12)) for key in a
    )


@pytest.mark.parametrize("name", ["videobooth-coarse", "videobooth"])
def test_two_processes_learn_what_one_does(
    name: str, dataset: Path, weights: Path, tmp_path: Path
) -> None:
    """Data-parallel over gloo, 20 steps."""
    both = start(command(dataset, name, tmp_path / "two"), weights, processes=2)
    one = run(dataset, name, tmp_path / "one")
    said, _ = both.communicate(timeout=200)
    assert both.returncode == 0, said
    assert len(losses(one)) == 20
    torch.testing.assert_close(
        losses(one), losses(tmp_path / "two" / "sd14" / name), rtol=1e-5, atol=0
    )
    # AdamW and clipping would hide a gradient of another length
    torch.testing.assert_close(
        *(losses(folder, "gradient") for folder in (one, tmp_path / "two" / "sd14" / name)),
        rtol=1e-4,
        atol=0,
    )
    assert (
        furthest(
            tmp_path / "one/out" / f"{name}.safetensors",
            tmp_path / "two/out" / f"{name}.safetensors",
        )
        < 1e-5
    )
    state = json.loads(
        (tmp_path / "two" / "sd14" / name / "checkpoint-00000020" / "state.json").read_text()
    )
    assert state["workers"] == 2


def test_microbatches_do_not_matter(dataset: Path, weights: Path, tmp_path: Path) -> None:
    for micro in (1, 4):
        run(
            dataset,
            "videobooth",
            tmp_path / str(micro),
            dataclasses.replace(SHORT, micro_batch=micro),
        )
    for column in ("loss", "gradient"):
        torch.testing.assert_close(
            *(losses(tmp_path / str(micro) / "sd14/videobooth", column) for micro in (1, 4)),
            rtol=1e-4,
            atol=0,
        )
    assert (
        furthest(
            tmp_path / "1/out/videobooth.safetensors", tmp_path / "4/out/videobooth.safetensors"
        )
        < 1e-5
    )


def test_killed_and_resumed_by_another_number_of_processes(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    run(dataset, "videobooth", tmp_path / "straight")
    options = command(dataset, "videobooth", tmp_path / "killed", "--checkpoint-every", "0")
    folder = tmp_path / "killed" / "sd14" / "videobooth"
    victim = start(options, weights, processes=1)
    until = time.monotonic() + 120
    while victim.poll() is None and not (folder / "checkpoint-00000011").exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    found = checkpoint.latest(folder)
    assert found is not None
    assert 11 <= found.step < 20
    again = start(options, weights, processes=2)
    said, _ = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert (
        furthest(
            tmp_path / "straight/out/videobooth.safetensors",
            tmp_path / "killed/out/videobooth.safetensors",
        )
        < 1e-6
    )
    torch.testing.assert_close(
        losses(tmp_path / "straight/sd14/videobooth"), losses(folder), rtol=1e-6, atol=0
    )


def test_interrupt_keeps_a_checkpoint(dataset: Path, weights: Path, tmp_path: Path) -> None:
    process = start(command(dataset, "videobooth-coarse", tmp_path, "--steps", "100000"), weights)
    until = time.monotonic() + 120
    while process.poll() is None and not (tmp_path / "sd14/videobooth-coarse/tensorboard").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    found = checkpoint.latest(tmp_path / "sd14/videobooth-coarse")
    assert found is not None
    assert found.step >= 1


def test_caches_change_no_bit(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = dataclasses.replace(CLIPS, windows=2)
    run(dataset, "videobooth-coarse", tmp_path / "without", clips=clips)
    run(dataset, "videobooth-coarse", tmp_path / "with", clips=clips, cache=tmp_path / "cache")
    assert any((tmp_path / "cache").rglob("*.safetensors"))
    monkeypatch.setattr(VaeCodec, "encode", None)  # everything is there now
    read = create_autospec(RealData.frames, side_effect=RealData.frames)
    monkeypatch.setattr(RealData, "frames", read)
    run(dataset, "videobooth-coarse", tmp_path / "again", clips=clips, cache=tmp_path / "cache")
    assert read.call_count == 2  # those that are held out
    files = [
        load_file(tmp_path / name / "out/videobooth-coarse.safetensors")
        for name in ("without", "with", "again")
    ]
    assert all(torch.equal(files[0][key], other[key]) for other in files[1:] for key in files[0])


def test_gradient_checkpointing_changes_no_bit(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    for recompute in (False, True):
        run(
            dataset,
            "videobooth",
            tmp_path / str(recompute),
            dataclasses.replace(SHORT, recompute=recompute),
        )
    assert (
        furthest(
            tmp_path / "True/out/videobooth.safetensors",
            tmp_path / "False/out/videobooth.safetensors",
        )
        == 0
    )


def test_bfloat16_is_near(dataset: Path, weights: Path, tmp_path: Path) -> None:
    for precision in ("float32", "bfloat16"):
        run(
            dataset,
            "videobooth",
            tmp_path / precision,
            dataclasses.replace(SHORT, bf16=precision == "bfloat16"),
        )
    exact, rounded = (
        losses(tmp_path / precision / "sd14/videobooth") for precision in ("float32", "bfloat16")
    )
    torch.testing.assert_close(exact, rounded, rtol=0.02, atol=0)
    assert exact != rounded
    assert {
        tensor.dtype
        for tensor in load_file(tmp_path / "bfloat16/out/videobooth.safetensors").values()
    } == {torch.float32}


def test_only_what_a_stage_trains_moves_and_is_kept(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    folder = run(dataset, "videobooth", tmp_path, SHORT)
    before = dict(
        load_videobooth("fine", "base", "image-encoder", "videobooth-coarse", "sd14").trained()
    )
    after = load_file(tmp_path / "out/videobooth.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in after)
    stored = checkpoint.latest(folder).model()
    assert stored.keys() == {f"{kind}/{name}" for kind in ("param", "ema") for name in after}
    card = read_card(tmp_path / "out/videobooth.safetensors")
    assert card["config"] == {"stage": "fine", "noises_image_prompt": True}
    assert card["made_from"].keys() == {
        "base",
        "codec",
        "image-encoder",
        "videobooth-coarse",
        "data",
    }
    shutil.copy(tmp_path / "out/videobooth.safetensors", weights / "sd14/videobooth.safetensors")
    shutil.copy(tmp_path / "out/videobooth.json", weights / "sd14/videobooth.json")
    loaded = dict(load_videobooth("fine", "base", "image-encoder", "videobooth", "sd14").trained())
    assert all(torch.equal(loaded[name], after[name]) for name in after)
    # and the released code can read it
    assert (
        main(
            [
                "weights",
                "convert",
                "--to",
                "released",
                str(weights / "sd14"),
                "--out",
                str(tmp_path / "released"),
            ]
        )
        == 0
    )
    mapper = torch.load(tmp_path / "released" / "mapper.pt", weights_only=True)["ema"]
    assert sum(tensor.numel() for tensor in mapper.values()) == sum(
        tensor.numel() for tensor in after.values()
    )


def test_validation_samples_and_tensorboard(dataset: Path, weights: Path, tmp_path: Path) -> None:
    folder = run(
        dataset,
        "videobooth",
        tmp_path,
        dataclasses.replace(SHORT, validate_every=2, sample_every=2),
    )
    history = checkpoint.latest(folder).state["history"]
    figures = [{key for key in row if key.startswith("val/")} for row in history]
    assert [len(names) for names in figures] == [0, 6, 0, 6]
    assert "val/loss_500_wrong_minus_right" in figures[1]
    assert len(list(folder.glob("samples/00000002/*.mkv"))) == 2
    assert len(list(folder.glob("samples/00000004/*.mp4"))) == 2
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("loss")] == [1, 2, 3, 4]
    assert len([tag for tag in shown.Tags()["images"] if tag.startswith("samples/")]) == 2


def test_samples_do_not_disturb_the_training(dataset: Path, weights: Path, tmp_path: Path) -> None:
    for every in (0, 1):
        run(
            dataset,
            "videobooth",
            tmp_path / str(every),
            dataclasses.replace(SHORT, sample_every=every, validate_every=every or 100),
        )
    assert (
        furthest(
            tmp_path / "0/out/videobooth.safetensors", tmp_path / "1/out/videobooth.safetensors"
        )
        == 0
    )


# --- what goes wrong
# --------------------------------------------------------------------------------------------------


def test_full_disk_leaves_the_last_good_checkpoint(
    dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(dataset, "videobooth-coarse", tmp_path, dataclasses.replace(SETTINGS, steps=3))
    write = checkpoint.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        write(tensors, path)
        path.write_bytes(path.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(
        VBBenchError,
        match=r"checkpoint of step 6 cannot be written .*That of step 3 is whole\. Make room",
    ):
        run(dataset, "videobooth-coarse", tmp_path, dataclasses.replace(SETTINGS, steps=6))
    assert sorted(path.name for path in folder.glob("*checkpoint*")) == ["checkpoint-00000003"]
    assert not list(folder.glob(".writing-*"))
    monkeypatch.undo()
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(weights))
    run(dataset, "videobooth-coarse", tmp_path, dataclasses.replace(SETTINGS, steps=6))
    run(dataset, "videobooth-coarse", tmp_path / "straight", dataclasses.replace(SETTINGS, steps=6))
    assert (
        furthest(
            tmp_path / "out/videobooth-coarse.safetensors",
            tmp_path / "straight/out/videobooth-coarse.safetensors",
        )
        == 0
    )


def test_two_trainings_in_one_folder(dataset: Path, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd14" / "videobooth-coarse"
    folder.mkdir(parents=True)
    with locked(folder), pytest.raises(UsageError, match="another process trains in"):
        run(dataset, "videobooth-coarse", tmp_path, SHORT)


@pytest.mark.parametrize("steps", [1, 20])
def test_what_is_not_finite_is_never_kept(
    steps: int, dataset: Path, weights: Path, tmp_path: Path
) -> None:
    wild = dataclasses.replace(SETTINGS, steps=steps, lr=1e39, checkpoint_every_seconds=0.0)
    with pytest.raises(VBBenchError, match="no longer finite at step"):
        run(dataset, "videobooth-coarse", tmp_path, wild)
    run(dataset, "videobooth-coarse", tmp_path, SHORT)  # and so the training can go on
    assert all(
        torch.isfinite(tensor).all()
        for tensor in load_file(tmp_path / "out/videobooth-coarse.safetensors").values()
    )


def test_weights_to_start_from_that_are_not_finite(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    path = weights / "sd14/videobooth-coarse.safetensors"
    tensors = load_file(path)
    tensors["mapper.mapping.0.0.weight"][0, 0] = float("nan")
    save_file(tensors, path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": file_digest(path)}))
    with pytest.raises(VBBenchError, match="That is the first step: look at the weights"):
        run(dataset, "videobooth", tmp_path, SHORT)


def test_damaged_checkpoints(
    dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=5, checkpoint_every_seconds=0.0)
    folder = run(dataset, "videobooth-coarse", tmp_path, settings)
    newest = folder / "checkpoint-00000005"
    state = json.loads((newest / "state.json").read_text())
    (newest / "state.json").write_text(json.dumps({**state, "history": "none"}))
    run(dataset, "videobooth-coarse", tmp_path, settings)
    assert "checkpoint-00000005 is damaged, and passed over" in capsys.readouterr().out
    for each in folder.glob("checkpoint-*"):
        (each / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="none of the checkpoints in .* is whole: remove them"):
        run(dataset, "videobooth-coarse", tmp_path, settings)
    assert len(list(folder.glob("checkpoint-*"))) == 2


def test_weights_of_others_are_not_overwritten(
    dataset: Path, weights: Path, tmp_path: Path
) -> None:
    before = file_digest(weights / "sd14/videobooth-coarse.safetensors")
    with pytest.raises(UsageError, match="holds weights that were not trained here"):
        run(dataset, "videobooth-coarse", tmp_path, SHORT, out=None)
    assert file_digest(weights / "sd14/videobooth-coarse.safetensors") == before
    assert not list(tmp_path.glob("sd14/*/checkpoint-*"))


def test_samples_and_curves_that_cannot_be_written_end_nothing(
    dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sd14/videobooth-coarse"
    (folder / "samples").mkdir(parents=True)
    (folder / "samples/00000002").touch()
    (folder / "curves.csv").mkdir()
    run(dataset, "videobooth-coarse", tmp_path, dataclasses.replace(SHORT, sample_every=2))
    said = capsys.readouterr().out
    assert "at step 2: " in said
    assert "the curves of step 4 cannot be written" in said
    assert (tmp_path / "out/videobooth-coarse.safetensors").is_file()


def test_going_on_otherwise_is_told(
    dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, "videobooth-coarse", tmp_path, SHORT)
    run(dataset, "videobooth-coarse", tmp_path, dataclasses.replace(SHORT, steps=6))
    assert "going on from" not in capsys.readouterr().out
    run(
        dataset,
        "videobooth-coarse",
        tmp_path,
        dataclasses.replace(SHORT, steps=8, lr=1e-3, micro_batch=1),
    )
    assert (
        "going on from step 6 otherwise than before: settings lr 0.0001, now 0.001; settings micro_batch 2, now 1"
        in capsys.readouterr().out
    )
    run(
        dataset,
        "videobooth-coarse",
        tmp_path,
        dataclasses.replace(SHORT, steps=8, lr=1e-2, micro_batch=1),
    )
    assert (
        "holds a finished training; what is asked for now is passed over: settings lr 0.001, now 0.01"
        in capsys.readouterr().out
    )


def test_held_out_clip_that_cannot_be_read(
    dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    video = copy / "videos/p" / f"{ids('heldout', 1)[0]}.mp4"
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 400] = bytes(400)
    video.write_bytes(content)
    folder = run(copy, "videobooth-coarse", tmp_path / "work", SHORT)
    assert "val/loss_500" in checkpoint.latest(folder).state["history"][-1]
    assert video.stem in capsys.readouterr().out


def test_processes_that_are_gone() -> None:
    assert Processes.is_gone(
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:23")
    )
    assert not Processes.is_gone(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_dataset_with_holes(
    dataset: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    gone, cut, bare = (copy / "videos/p" / f"{name}.mp4" for name in ids("train", 3))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:300])
    next((copy / "data").glob(f"*/{bare.stem}/mask_1.png")).unlink()
    table = copy / "data" / "dog.csv"
    table.write_text(
        table.read_text().replace("number 4", "and again" * 40)
    )  # more tokens than the text encoder reads
    run(copy, "videobooth-coarse", tmp_path / "work", SHORT)
    said = capsys.readouterr().out
    assert "train: 2 clips; 4 left out:" in said
    assert "the text encoder reads 75" in said
    assert "mask_1.png: there is none" in said
    assert gone.stem in said
    assert cut.stem in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "videobooth", "--scale", "sd14"], "name --data"),
        (["train", "videobooth", "--lr", "1"], "--lr: for trainings on real videos"),
        (["train", "videbooth", "--scale", "sd14", "--data", ".", "--videos", "."], "did you mean"),
        (
            [
                "train",
                "videobooth",
                "--scale",
                "sd14",
                "--data",
                ".",
                "--videos",
                ".",
                "--workers",
                "2",
            ],
            "accelerate launch",
        ),
        (
            ["train", "videobooth", "--scale", "sd14", "--data", "nowhere", "--videos", "."],
            "there is no dataset nowhere",
        ),
        (
            ["train", "videobooth", "--scale", "sd14", "--data", ".", "--videos", ".", "--lr", "0"],
            "learning rate",
        ),
        (
            [
                "train",
                "videobooth",
                "--scale",
                "sd14",
                "--data",
                ".",
                "--videos",
                ".",
                "--size",
                "30",
            ],
            "multiple of 8",
        ),
        (
            [
                "train",
                "videobooth",
                "--scale",
                "sd14",
                "--data",
                ".",
                "--videos",
                ".",
                "--batch-size",
                "6",
                "--micro-batch",
                "4",
            ],
            "multiple",
        ),
    ],
)
def test_bad_command_lines(
    words: list[str],
    sentence: str,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_no_clip_can_be_used(dataset: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no clip of the split train that can be used: .*100 of them"
    ):
        run(
            dataset,
            "videobooth-coarse",
            tmp_path,
            SHORT,
            clips=dataclasses.replace(CLIPS, num_frames=100),
        )


def test_start_weights_are_missing(dataset: Path, weights: Path, tmp_path: Path) -> None:
    (weights / "sd14/videobooth-coarse.safetensors").unlink()
    with pytest.raises(WeightsError, match="'videobooth-coarse' of scale sd14 are not at"):
        run(dataset, "videobooth", tmp_path, SHORT)
