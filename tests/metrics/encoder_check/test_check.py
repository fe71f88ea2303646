"""The canary: quiet over batches, threads and precisions, and where it says that a drift begins."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vbbench.core import paths
from vbbench.core.threads import torch_threads
from vbbench.core.weights_file import load_weights, save_weights
from vbbench.metrics.encoder_check import check
from vbbench.metrics.encoder_check import probe as canary_probe
from vbbench.metrics.encoder_check import record as canary_noise
from vbbench.metrics.encoder_check import record as canary_record
from vbbench.metrics.encoder_check.check import SCALED_ALLOWED, CanaryResult, compare
from vbbench.metrics.encoder_check.probe import digest_of, frames_for
from vbbench.metrics.encoder_check.record import FLOOR, MULTIPLE, Noise, Way, allowed
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.configs import ENCODERS, IMAGENET_MEAN, encoder_config
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.weights import encoder_digest

MINI, RANDOM = Setting(), Setting(weights="random")
ROLES = ("clip", "dino", "segmenter")
MARGIN = 5.0
"""An alteration must be this much above what is allowed, noise this much below."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    yield
    encoders.forget_encoders()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_noise, "THOROUGH", (Way(None, 7),))


@pytest.fixture
def own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped encoders that may be changed."""
    folder = tmp_path / "weights" / "mini"
    folder.mkdir(parents=True)
    for role in ROLES:
        for suffix in (".safetensors", ".json"):
            shutil.copy(paths.weights_dir("mini") / f"{role}{suffix}", folder)
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(folder.parent))
    encoders.forget_encoders()
    return folder


def shipped(role: str) -> canary_record.Recording:
    return canary_record.load(canary_record.SHIPPED / f"{role}.json")


def held(role: str, encoder: Any = None, precision: str = "float32") -> list[CanaryResult]:
    """An encoder against the shipped recording."""
    digest = encoder_digest(encoder_config(role, MINI), MINI)
    return compare(encoder or encoders.get_encoder(role), digest, shipped(role), "cpu", precision)


def drifts(results: list[CanaryResult]) -> list[str]:
    return [result.row[1] for result in results if not result.passed]


def stage(results: list[CanaryResult], what: str) -> CanaryResult:
    (found,) = (result for result in results if result.row[1] == what)
    return found


def times_allowed(result: CanaryResult) -> float:
    return float(result.row[2]) / float(result.row[3])


def with_network(
    role: str, change: Callable[[nn.Module], object], precision: str = "float32"
) -> Any:
    """A copy of an encoder whose network was changed in memory."""
    encoder = copy.copy(encoders.get_encoder(role, Setting(precision=precision)))
    encoder.network = copy.deepcopy(encoder.network)
    change(encoder.network)
    return encoder


def with_config(role: str, precision: str = "float32", **changes: Any) -> Any:
    """A copy of an encoder with another configuration."""
    encoder = copy.copy(encoders.get_encoder(role, Setting(precision=precision)))
    encoder.config = replace(encoder.config, **changes)
    return encoder


def largest_turned(name: str) -> Callable[[nn.Module], None]:
    """Turns the sign of the largest entry of one tensor."""

    def change(network: nn.Module) -> None:
        tensor = network.get_parameter(name).data
        place = np.unravel_index(int(tensor.abs().argmax()), tensor.shape)
        tensor[place] = -tensor[place]

    return change


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_shipped_encoders_pass_in_every_precision(precision: str) -> None:
    """After training encoders anew: `vbbench metrics --check --record vbbench/metrics/canaries`."""
    results = check.check_encoders(Setting(precision=precision), "cpu")
    assert [result.sentence for result in results if not result.passed] == []
    assert list(dict.fromkeys(result.row[0] for result in results)) == list(ROLES)
    assert [result.row[1] for result in results[:8]] == [
        "weights",
        "in memory",
        "inputs",
        "pixels",
        "scaling",
        "frames",
        "tokens",
        "texts",
    ]
    assert not paths.cache_dir().exists()  # neither an embedding nor another recording was kept


@pytest.mark.parametrize("role", ROLES)
def test_batches_and_threads_stay_far_below_what_is_allowed(role: str) -> None:
    recording, channels = shipped(role), canary_probe.channels_of(encoders.get_encoder(role), 64)
    for kind, channel in channels.items():
        recorded = recording.embeddings[kind].astype(np.float64)
        most = recording.facts["allowed"][kind]["float32"]
        order = np.random.default_rng(0).permutation(np.arange(64) % len(channel.ready))
        for count, batch in ((1, 1), (1, 7), (1, 64), (2, 64)):
            with torch_threads(count):
                found = np.concatenate(
                    [
                        channel.embed([channel.ready[n] for n in part])
                        for part in np.split(order, range(batch, 64, batch))
                    ]
                )
            lengths = np.sqrt(
                ((found - recorded[order]) ** 2).sum(1) / (recorded[order] ** 2).sum(1)
            )
            assert lengths.max() * MARGIN < most, (kind, count, batch)


@pytest.mark.parametrize(
    ("role", "name", "stages"),
    [
        ("clip", "visual.layer2.0.conv2.weight", ["in memory", "frames"]),
        ("clip", "token_embedding.weight", ["in memory", "texts"]),
        ("dino", "blocks.2.mlp.fc1.weight", ["in memory", "frames"]),
        ("segmenter", "down.1.0.0.weight", ["in memory", "frames"]),
    ],
)
def test_one_altered_weight_is_told(role: str, name: str, stages: list[str]) -> None:
    results = held(role, with_network(role, largest_turned(name)))
    assert drifts(results) == stages
    assert times_allowed(stage(results, stages[1])) > MARGIN
    assert "see in memory" in stage(results, stages[1]).sentence


def test_a_weight_that_embeddings_hide_is_told_too() -> None:
    """A bias of attention's keys moves every score of a query alike, which the softmax takes out
    again."""

    def change(network: nn.Module) -> None:
        bias = network.get_parameter("blocks.1.attn.qkv.bias").data
        bias[len(bias) // 3] += 1.0

    assert drifts(held("dino", with_network("dino", change))) == ["in memory"]


@pytest.mark.parametrize("role", ROLES)
def test_another_resize_filter_is_told(role: str) -> None:
    encoder = with_config(role, resample="bilinear")
    results = held(role, encoder)
    assert drifts(results) == [
        "pixels"
    ]  # the network is asked about the frames that no filter touched, and is well
    told = stage(results, "pixels")
    assert told.row[2] == "6 of 14"
    assert "short side 64 bilinear" in told.sentence
    assert "short side 64 bicubic" in told.sentence
    moved = canary_probe.distances(
        canary_probe.channels_of(encoder, 64)["frames"].embedded(),
        shipped(role).embeddings["frames"],
    )
    assert moved.max() > MARGIN * FLOOR


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_another_mean_is_told(role: str, precision: str) -> None:
    mean = (
        IMAGENET_MEAN
        if role == "clip"
        else tuple(m + 0.005 for m in encoder_config(role, MINI).mean)
    )
    results = held(role, with_config(role, precision, mean=mean), precision)
    assert drifts(results)[0] == "scaling"
    assert times_allowed(stage(results, "scaling")) > MARGIN
    if precision == "float32":
        assert drifts(results) == ["scaling", "frames"]
        assert times_allowed(stage(results, "frames")) > MARGIN


def test_another_size_is_told() -> None:
    assert drifts(held("dino", with_config("dino", resize=72)))[0] == "pixels"
    results = held("clip", with_config("clip", crop=56))
    assert "pixels" in drifts(results)
    assert not stage(results, "frames").measured  # its attention pooling has 64 pixels' positions


def test_other_tokens_are_told() -> None:
    encoder = copy.copy(encoders.get_encoder("clip"))
    words = {"red": "blue", "blue": "red"}
    tokenizer = encoder.tokenizer
    encoder.tokenizer = lambda text: tokenizer(
        " ".join(words.get(word, word) for word in text.split())
    )
    results = held("clip", encoder)
    assert drifts(results) == ["tokens"]  # texts without those words show that the network is well
    assert "look at the tokenizer" in stage(results, "tokens").sentence
    encoder.tokenizer = lambda text: tokenizer(" ".join(reversed(text.split())))
    assert drifts(held("clip", encoder)) == ["tokens", "texts"]


def test_a_text_that_is_refused_is_told() -> None:
    encoder = copy.copy(encoders.get_encoder("clip"))
    encoder.tokenizer = encoders.WordTokenizer(
        [w for w in encoder.tokenizer.words if w != "elephant"], 20
    )
    assert "tokens" in drifts(held("clip", encoder))


@pytest.mark.parametrize(("role", "kind"), [("clip", "texts"), ("dino", "frames")])
def test_another_network_is_told_when_all_before_it_is_as_recorded(role: str, kind: str) -> None:
    def change(network: nn.Module) -> None:
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.GELU):
                    setattr(parent, name, nn.GELU(approximate="tanh"))

    results = held(role, with_network(role, change))
    assert drifts(results) == [kind]
    assert times_allowed(stage(results, kind)) > MARGIN
    assert "look at network, libraries and device" in stage(results, kind).sentence


def test_other_libraries_are_named() -> None:
    recording = shipped("dino")
    facts = {**recording.facts, "where": {**recording.facts["where"], "timm": "0.1"}}
    encoder = with_network("dino", lambda network: setattr(network.norm, "eps", 0.1))
    results = compare(encoder, facts["weights"], replace(recording, facts=facts), "cpu", "float32")
    assert drifts(results) == ["frames"]
    assert "for 0.1" in stage(results, "frames").sentence


def test_numbers_that_are_none_are_told() -> None:
    results = held(
        "dino", with_network("dino", lambda network: network.norm.weight.data.fill_(torch.nan))
    )
    assert stage(results, "frames").row[2] == "inf"


def test_other_inputs_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(side: int) -> dict[str, np.ndarray]:
        frames = frames_for(side)
        frames["noise 512 x 288"][300, 200, 1] ^= 1
        return frames

    monkeypatch.setattr(canary_probe, "frames_for", altered)
    results = held("clip")
    assert drifts(results) == ["inputs"]
    assert results[-1].row[1:3] == ("inputs", "1 of 24")


def test_frames_are_what_they_always_were() -> None:
    """Written down here too, apart from the recordings, which are made anew from time to time."""
    frames = frames_for(64)
    assert len(frames) == 14
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in frames.values())
    assert (
        digest_of(np.concatenate([frame.ravel() for frame in frames.values()]))[:16]
        == "e9742818a3926615"
    )


def test_weights_altered_on_the_disk_are_told(own_weights: Path) -> None:
    tensors, card = load_weights(own_weights / "dino.safetensors")
    tensors["blocks.0.mlp.fc2.weight"][3, 5] += 0.5
    save_weights(own_weights / "dino.safetensors", tensors, card)
    encoders.forget_encoders()
    results = check.check_encoders(MINI, "cpu")
    assert {result.row[0] for result in results if not result.passed} == {"dino"}
    assert drifts(results) == ["weights", "in memory", "frames"]
    recorded = shipped("dino").facts["weights"]
    assert (
        f"the recorded one's with {recorded[:12]}"
        in next(result for result in results if not result.passed).sentence
    )


def test_damaged_and_missing_weights_are_told_apart(own_weights: Path) -> None:
    path = own_weights / "dino.safetensors"
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    (own_weights / "clip.safetensors").unlink()
    clip, dino, *rest = check.check_encoders(MINI, "cpu")
    assert (clip.passed, clip.measured) == (False, False)
    assert "vbbench train clip" in clip.row[-1]
    assert (dino.passed, dino.measured, dino.row[1]) == (False, True, "weights")
    assert "damaged" in dino.sentence
    assert all(result.passed for result in rest)


@pytest.mark.usefixtures("quick")
def test_first_use_is_recorded_and_held_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "mini", {"dino": ENCODERS["mini"]["dino"]})
    (first,) = check.check_encoders(RANDOM, "cpu")
    assert first.passed
    assert "recorded now" in first.row[-1]
    path = paths.cache_dir() / "canaries" / "dino-random.json"
    before = path.read_bytes()
    assert drifts(check.check_encoders(RANDOM, "cpu")) == []
    assert drifts(check.check_encoders(replace(RANDOM, precision="bfloat16"), "cpu")) == []
    altered = with_config("dino", resample="lanczos")
    altered.network = encoders.get_encoder("dino", RANDOM).network
    monkeypatch.setattr(check, "get_encoder", lambda *_: altered)
    assert drifts(check.check_encoders(RANDOM, "cpu")) == ["pixels"]
    assert path.read_bytes() == before


def test_a_tiny_real_encoder_is_recorded_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resized to more than the crop, as the real DINO is."""
    tiny = replace(encoder_config("dino", MINI), name="dino-vit-s-16", resize=72)
    monkeypatch.setitem(ENCODERS, "sd14", {"dino": (tiny,)})
    setting = Setting("sd14", weights="random")
    assert "recorded now" in check.check_encoders(setting, "cpu")[0].row[-1]
    facts = json.loads((paths.cache_dir() / "canaries" / "dino-vit-s-16-random.json").read_text())
    assert {row["precision"] for row in facts["noise"]} == {"float32", "bfloat16", "float16"}
    assert drifts(check.check_encoders(setting, "cpu")) == []
    monkeypatch.setitem(ENCODERS, "sd14", {"dino": (replace(tiny, crop=64, resize=73),)})
    encoders.forget_encoders()
    assert drifts(check.check_encoders(setting, "cpu"))[0] == "pixels"


@pytest.mark.slow
def test_real_encoders_are_recorded_at_first_use() -> None:
    setting = Setting("sd14", weights="random")
    assert all("recorded now" in result.row[-1] for result in check.check_encoders(setting, "cpu"))
    results = check.check_encoders(setting, "cpu")
    assert drifts(results) == []
    assert len(results) == 8 + 6


@pytest.mark.usefixtures("quick")
def test_other_weights_can_be_accepted(own_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "mini", {"dino": ENCODERS["mini"]["dino"]})
    tensors, card = load_weights(own_weights / "dino.safetensors")
    tensors["norm.weight"] += 0.5
    save_weights(own_weights / "dino.safetensors", tensors, card)
    assert drifts(check.check_encoders(MINI, "cpu")) == ["weights", "in memory", "frames"]
    (recorded,) = check.record(MINI, "cpu")
    assert recorded.passed
    assert drifts(check.check_encoders(MINI, "cpu")) == []


@pytest.mark.parametrize("damage", ["embeddings", "json", "fact", "missing"])
def test_a_damaged_recording_is_a_sentence(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(canary_record.SHIPPED, tmp_path / "canaries"))
    monkeypatch.setattr(canary_record, "SHIPPED", folder)
    monkeypatch.setitem(ENCODERS, "mini", {"dino": ENCODERS["mini"]["dino"]})
    tensors, facts = folder / "dino.safetensors", folder / "dino.json"
    if damage == "embeddings":
        tensors.write_bytes(tensors.read_bytes()[:-4] + b"\0\0\0\1")
    elif damage == "json":
        facts.write_text(facts.read_text()[:-50])
    elif damage == "fact":
        facts.write_text(
            json.dumps(
                {
                    key: value
                    for key, value in json.loads(facts.read_text()).items()
                    if key != "allowed"
                }
            )
        )
    else:
        tensors.unlink()
    (result,) = check.check_encoders(MINI, "cpu")
    assert (result.passed, result.measured) == (False, False)
    assert str(facts) in result.sentence
    assert "install vbbench again" in result.sentence


@pytest.mark.usefixtures("quick")
def test_a_recording_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "mini", {"dino": ENCODERS["mini"]["dino"]})
    (tmp_path / "file").touch()
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "file"))
    (result,) = check.check_encoders(RANDOM, "cpu")
    assert not result.measured
    assert paths.CACHE_VARIABLE in result.sentence


def test_what_is_allowed_follows_from_what_was_measured() -> None:
    def row(precision: str, largest: float | None) -> Noise:
        return Noise("frames", precision, "cpu", 1, 1, largest, largest)

    rows = [
        row("float32", 0.0),
        row("float32", 1e-4),
        row("bfloat16", 1e-2),
        row("bfloat16", 3e-2),
        row("float16", None),
    ]
    assert allowed(rows) == {
        "frames": {
            "float32": 1e-4 * MULTIPLE["float32"],
            "bfloat16": 3e-2 * MULTIPLE["bfloat16"],
            "float16": None,
        }
    }
    assert allowed([row("float32", 1e-7)])["frames"]["float32"] == FLOOR


def test_the_recordings_say_how_they_were_made() -> None:
    for role in ROLES:
        facts = shipped(role).facts
        tried = {(row["precision"], row["threads"], row["batch"]) for row in facts["noise"]}
        assert tried == {(p, t, b) for p in MULTIPLE for t in (1, 2) for b in (1, 7, 64)}
        assert {kind: facts["allowed"][kind] for kind in facts["allowed"]} == allowed(
            [Noise(**row) for row in facts["noise"]]
        )
        assert facts["where"]["device"].startswith("cpu")
    assert sum(path.stat().st_size for path in canary_record.SHIPPED.iterdir()) < 200_000


def test_a_precision_that_was_not_measured_is_no_pass() -> None:
    recording = shipped("dino")
    facts = {**recording.facts, "allowed": {"frames": {"float32": None}}}
    results = compare(
        encoders.get_encoder("dino"),
        facts["weights"],
        replace(recording, facts=facts),
        "cpu",
        "float32",
    )
    assert drifts(results) == ["frames"]
    assert not stage(results, "frames").measured


def test_a_step_of_a_byte_is_far_above_what_scaling_may_differ() -> None:
    steps = np.diff(canary_probe.normalised_levels(encoders.get_encoder("clip")), axis=0)
    assert steps.shape == (255, 3)
    assert steps.min() > 1000 * SCALED_ALLOWED
