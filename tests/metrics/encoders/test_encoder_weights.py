"""Where real encoders' weights are looked for, what they are held against, and what is said where
there are none.

The network is never asked: downloads are stood in for, and the hub's cache is a folder made here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vbbench.core import hub, paths
from vbbench.core.digests import file_digest
from vbbench.core.paths import cache_dir
from vbbench.errors import WeightsError
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders import weights as encoder_digests
from vbbench.metrics.encoders import weights as encoder_weights
from vbbench.metrics.encoders.configs import ENCODERS, EncoderConfig, encoder_config
from vbbench.metrics.encoders.encoders import adapted
from vbbench.metrics.encoders.setting import Setting

SD14 = Setting("sd14")
CLIP, DINO = encoder_config("clip", SD14), encoder_config("dino", SD14)
DINO_V2 = ENCODERS["sd14"]["dino"][1]
REFUSED = "the network was asked"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty folders of weights, records and the hub's cache, and no network. The folder of sd14's
    weights."""
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("VBBENCH_CACHE", str(tmp_path / "cache"))
    for name in paths.OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "cached_file", lambda repository, file: None)

    def refuse(repository: str, file: str) -> Path:
        raise ConnectionError(REFUSED)

    monkeypatch.setattr(hub, "download_file", refuse)
    encoders.forget_encoders()
    folder = tmp_path / "weights" / "sd14"
    folder.mkdir(parents=True)
    yield folder
    encoders.forget_encoders()


@pytest.fixture(scope="module")
def dino_tensors() -> dict[str, Tensor]:
    """Tensors of a ViT-S/16 that is not the random one."""
    network = encoders.build_dino(DINO.arch)
    return {key: (tensor + 0.01).contiguous() for key, tensor in network.state_dict().items()}


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class TestPlaces:
    """A folder first, then the hub's cache, then the hub."""

    @pytest.mark.parametrize(
        ("config", "name"),
        [
            (CLIP, "clip-vit-b-32.safetensors"),
            (CLIP, "clip-vit-b-32/open_clip_model.safetensors"),
            (CLIP, "clip-vit-b-32/open_clip_pytorch_model.bin"),
            (CLIP, "ViT-B-32.pt"),
            (CLIP, "clip-vit-b-32/ViT-B-32.pt"),
            (DINO, "dino-vit-s-16.safetensors"),
            (DINO, "dino-vit-s-16/model.safetensors"),
            (DINO, "dino-vit-s-16/pytorch_model.bin"),
            (DINO, "dino_deitsmall16_pretrain.pth"),
            (DINO_V2, "dinov2-vit-s-14/model.safetensors"),
            (DINO_V2, "dinov2_vits14_pretrain.pth"),
        ],
    )
    def test_files_of_the_folder(self, places: Path, config: EncoderConfig, name: str) -> None:
        path = put(places / name)
        put(places / "model.safetensors")  # whose?
        assert encoder_weights.locate(config, "sd14") == path

    def test_the_folder_before_the_cache_before_the_hub(
        self, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, str, str]] = []

        def give(where: str) -> Callable[[str, str], Path]:
            return lambda repository, file: (
                asked.append((where, repository, file)) or tmp_path / where
            )

        monkeypatch.setattr(hub, "download_file", give("hub"))
        assert encoder_weights.locate(DINO, "sd14") == tmp_path / "hub"
        assert asked == [("hub", "timm/vit_small_patch16_224.dino", "model.safetensors")]
        monkeypatch.setattr(hub, "cached_file", give("cache"))
        assert encoder_weights.locate(DINO, "sd14") == tmp_path / "cache"
        path = put(places / "dino-vit-s-16" / "model.safetensors")
        assert encoder_weights.locate(DINO, "sd14") == path
        assert len(asked) == 2

    def test_the_hubs_cache_is_read_as_the_hub_writes_it(self, tmp_path: Path) -> None:
        """In a process of its own: the hub's client reads its environment when it is imported."""
        repository = tmp_path / "hub" / "models--timm--vit_small_patch16_224.dino"
        path = put(repository / "snapshots" / ("0" * 40) / "model.safetensors")
        put(repository / "refs" / "main", b"0" * 40)
        code = "from vbbench.metrics.encoders import weights as e, configs as c\nprint(e.locate(c.ENCODERS['sd14']['dino'][0], 'sd14'))"
        environment = {
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "VBBENCH_OFFLINE": "1",
            "VBBENCH_WEIGHTS": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(path)

    def test_sources_are_the_libraries_own_tables(self) -> None:
        import open_clip
        import timm

        for config in ENCODERS["sd14"]["clip"]:
            table = open_clip.get_pretrained_cfg(config.arch["open_clip"], "openai")
            hub, _, archive = config.sources
            assert hub.repository == table["hf_hub"].rstrip("/")
            assert table["url"].endswith(f"/{archive.sha256}/{archive.file}")
        for config in ENCODERS["sd14"]["dino"]:
            table = timm.get_pretrained_cfg(config.arch["timm"])
            assert config.sources[0].repository == table.hf_hub_id
            assert table.url.endswith(f"/{config.sources[-1].file}")

    def test_only_published_digests_are_written_down(self) -> None:
        stated = [
            source.file
            for configs in ENCODERS["sd14"].values()
            for c in configs
            for source in c.sources
            if source.sha256
        ]
        assert stated == ["ViT-B-32.pt", "ViT-L-14.pt"]


class TestNowhere:
    """One sentence: which file, where it may lie, and why it was not fetched."""

    def check(self, error: WeightsError, places: Path) -> str:
        told = str(error)
        assert "\n" not in told
        assert told.endswith(".")
        for part in (
            "clip-vit-b-32.safetensors",
            "ViT-B-32.pt",
            "open_clip_model.safetensors",
            str(places),
            "VBBENCH_WEIGHTS",
        ):
            assert part in told
        return told

    @pytest.mark.parametrize("variable", paths.OFFLINE_VARIABLES)
    def test_offline_asks_nobody(
        self, places: Path, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, "1")
        with pytest.raises(WeightsError) as error:
            encoder_weights.encoder_digest(CLIP, SD14)
        told = self.check(error.value, places)
        assert f"{variable} is set" in told
        assert REFUSED not in told

    @pytest.mark.parametrize("value", ["", "0", "false"])
    def test_switched_off_is_not_offline(
        self, places: Path, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VBBENCH_OFFLINE", value)
        with pytest.raises(WeightsError) as error:
            encoders.get_encoder("clip", SD14)
        assert REFUSED in self.check(error.value, places)

    def test_an_error_without_words(self, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(repository: str, file: str) -> Path:
            raise TimeoutError

        monkeypatch.setattr(hub, "download_file", fail)
        with pytest.raises(WeightsError, match="failed: TimeoutError"):
            encoder_weights.locate(CLIP, "sd14")

    def test_the_hub_is_asked_once_and_not_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The client's own download tries again with longer timeouts: it must not begin where
        nobody answers."""
        import huggingface_hub

        monkeypatch.undo()
        asked = []

        def silent(url: str, *, timeout: float) -> None:
            asked.append((url, timeout))
            raise TimeoutError("timed out")

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
        monkeypatch.setattr(
            huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("it began")
        )
        with pytest.raises(TimeoutError):
            hub.download_file("some/where", "model.safetensors")
        [(url, timeout)] = asked
        assert url.endswith("some/where/resolve/main/model.safetensors")
        assert timeout <= 10


class TestDigests:
    """Published ones are known before; others are recorded at the first use."""

    def test_random_absent_and_miniature(self, untrained: Path) -> None:
        assert (
            encoder_weights.encoder_digest(CLIP, Setting("sd14", weights="random"))
            == "random weights, seed 0"
        )
        assert (
            encoder_weights.encoder_digest(CLIP, Setting("sd14", weights="absent")) == "not at hand"
        )
        mini = encoder_config("clip", Setting())
        assert encoder_weights.encoder_digest(mini, Setting()) == file_digest(
            untrained / "clip.safetensors"
        )
        assert (
            encoder_weights.encoder_digest(mini, Setting(weights="random"))
            == "random weights, seed 0"
        )

    def test_the_first_use_is_recorded_and_held(self, places: Path) -> None:
        path = put(places / "dino-vit-s-16" / "model.safetensors")
        digest = encoder_weights.encoder_digest(DINO, SD14)
        assert digest == file_digest(path)
        record = encoder_digests.record_path("dino-vit-s-16", "model.safetensors")
        kept = json.loads(record.read_text())
        assert (kept["encoder"], kept["file"], kept["sha256"]) == (
            "dino-vit-s-16",
            "model.safetensors",
            digest,
        )
        assert kept["when"].endswith("+00:00")
        before = record.read_bytes()
        assert encoder_weights.encoder_digest(DINO, SD14) == digest
        assert record.read_bytes() == before
        put(path, b"other weights")
        with pytest.raises(
            WeightsError,
            match=rf"not the file that dino-vit-s-16 was first used with.*{digest[:12]}.*delete that record",
        ):
            encoders.get_encoder("dino", SD14)
        record.unlink()
        assert encoder_weights.encoder_digest(DINO, SD14) == file_digest(path) != digest

    def test_two_at_once_record_one_and_hold_it(self, tmp_path: Path) -> None:
        """As many first uses as threads, of two different files under one name: one wins, and all
        that come after it are told."""
        files = [
            put(tmp_path / str(n) / "model.safetensors", b"weights %d" % (n % 2)) for n in range(16)
        ]

        def use(path: Path) -> str | None:
            try:
                return encoder_digests.hold("dino-vit-s-16", path)
            except WeightsError:
                return None

        with ThreadPoolExecutor(8) as pool:
            held = list(pool.map(use, files))
        winner = json.loads(
            encoder_digests.record_path("dino-vit-s-16", "model.safetensors").read_text()
        )["sha256"]
        assert held == [winner if file_digest(path) == winner else None for path in files]
        assert [path.suffix for path in (cache_dir() / "digests").iterdir()] == [".json"]

    def test_records_that_cannot_be_read_or_written(
        self, places: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = put(places / "dino-vit-s-16.safetensors")
        put(encoder_digests.record_path("dino-vit-s-16", path.name), b"{}")
        with pytest.raises(WeightsError, match="delete it to record it anew"):
            encoder_weights.encoder_digest(DINO, SD14)
        monkeypatch.setenv("VBBENCH_CACHE", str(path))  # a file
        with pytest.raises(WeightsError, match="set VBBENCH_CACHE to a folder|delete it"):
            encoder_weights.encoder_digest(DINO, SD14)

    def test_the_cache_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert cache_dir() == tmp_path / "cache"
        monkeypatch.delenv("VBBENCH_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_dir() == tmp_path / "xdg" / "vbbench"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_dir() == Path.home() / ".cache" / "vbbench"


class Tiny(nn.Module):
    """Something to put into a TorchScript archive."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("context_length", torch.tensor(77))
        self.register_buffer("vocab_size", torch.tensor(9))
        self.weight = nn.Parameter(torch.arange(4.0).half())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class TestReading:
    """What may be opened, and how."""

    def archive(self, path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(Tiny()), path)
        return path

    def test_an_archive_of_another_digest_is_never_opened(
        self, places: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.archive(places / "ViT-B-32.pt")
        for name in ("jit.load", "load"):
            monkeypatch.setattr(f"torch.{name}", lambda *_, **__: pytest.fail("it was opened"))
        for ask in (
            lambda: encoder_weights.encoder_digest(CLIP, SD14),
            lambda: encoders.get_encoder("clip", SD14),
        ):
            with pytest.raises(
                WeightsError, match="not the published file and was not opened.*40d365715913"
            ):
                ask()
        assert not encoder_digests.record_path("clip-vit-b-32", path.name).exists()

    def test_the_published_archive_is_read_without_its_three_numbers(
        self, places: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.archive(places / "ViT-B-32.pt")
        monkeypatch.setattr(encoder_weights, "digest_of", lambda path: CLIP.sources[-1].sha256)
        tensors = encoder_weights.load_tensors(CLIP, "sd14")
        assert set(tensors) == {"weight"}
        assert torch.equal(tensors["weight"], torch.arange(4.0).half())
        assert path.is_file()

    @pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
    def test_plain_state_dicts(self, places: Path, wrapper: str | None) -> None:
        tensors = {"weight": torch.arange(3.0)}
        torch.save(
            tensors if wrapper is None else {wrapper: tensors, "epoch": 3},
            places / "dino_deitsmall16_pretrain.pth",
        )
        assert torch.equal(encoder_weights.load_tensors(DINO, "sd14")["weight"], tensors["weight"])

    @pytest.mark.parametrize("name", ["dino-vit-s-16.safetensors", "dino_deitsmall16_pretrain.pth"])
    def test_files_that_are_none(self, places: Path, name: str) -> None:
        put(places / name)
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            encoders.get_encoder("dino", SD14)

    def test_a_pickle_that_would_run_code_is_refused(self, places: Path) -> None:
        torch.save({"weight": Path("x")}, places / "dino_deitsmall16_pretrain.pth")
        with pytest.raises(WeightsError, match="cannot be read"):
            encoders.get_encoder("dino", SD14)


class TestLoading:
    """From a file to an encoder."""

    def test_the_files_tensors_are_the_encoders(
        self, places: Path, dino_tensors: dict[str, Tensor]
    ) -> None:
        save_file(
            {key: tensor.half() for key, tensor in dino_tensors.items()},
            places / "dino-vit-s-16.safetensors",
        )
        own = encoders.get_encoder("dino", SD14).network.state_dict()
        assert all(
            own[key].dtype == torch.float32
            and torch.equal(own[key], dino_tensors[key].half().float())
            for key in own
        )
        short = encoders.get_encoder(
            "dino", Setting("sd14", precision="bfloat16")
        ).network.state_dict()
        assert all(tensor.dtype == torch.bfloat16 for tensor in short.values())

    def test_missing_unexpected_and_misshapen_tensors_are_named(
        self, places: Path, dino_tensors: dict[str, Tensor]
    ) -> None:
        broken = {key: tensor for key, tensor in dino_tensors.items() if "blocks.3." not in key}
        broken |= {"head.weight": torch.zeros(2), "pos_embed": torch.zeros(1, 785, 384)}
        save_file(broken, places / "dino-vit-s-16.safetensors")
        with pytest.raises(WeightsError) as error:
            encoders.get_encoder("dino", SD14)
        told = str(error.value)
        assert (
            "12 missing: blocks.3.norm1.weight, blocks.3.norm1.bias, blocks.3.attn.qkv.weight ..."
            in told
        )
        assert "1 unexpected: head.weight" in told
        assert "1 of another shape: pos_embed (1 x 785 x 384, not 1 x 197 x 384)" in told

    def test_clips_scale_may_be_a_row_of_one(self) -> None:
        network = nn.Module()
        scale = adapted(network, {"logit_scale": torch.tensor([4.6])}, {"open_clip": "x"})[
            "logit_scale"
        ]
        assert scale.shape == ()

    def test_dinov2_is_adapted_as_timm_adapts_it(self) -> None:
        """Positions of 518 pixels resampled to 224, the mask token of the training left out."""
        from timm.models.vision_transformer import checkpoint_filter_fn

        network = encoders.build_dino(DINO_V2.arch)
        tensors = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        tensors["pos_embed"] = torch.randn(
            1, 37 * 37 + 1, 384, generator=torch.Generator().manual_seed(0)
        )
        published = {**tensors, "mask_token": torch.zeros(1, 384)}
        got, expected = (
            adapted(network, published, DINO_V2.arch),
            checkpoint_filter_fn(tensors, network),
        )
        assert set(got) == set(expected) == set(network.state_dict())
        assert all(torch.equal(got[key], expected[key]) for key in expected)
        assert got["pos_embed"].shape == (1, 257, 384)


@pytest.mark.parametrize("what", ["words", "arch"])
def test_a_changed_card_is_another_encoder_and_is_refused(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The digest of the file covers neither; two protocols must not share an id."""
    for path in untrained.iterdir():
        (tmp_path / "mini").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "mini" / path.name)
    card = json.loads((tmp_path / "mini" / "clip.json").read_text())
    changed = {
        "words": card["config"]["words"][::-1],
        "arch": {**card["config"]["arch"], "embed_dim": 64},
    }
    card["config"][what] = changed[what]
    (tmp_path / "mini" / "clip.json").write_text(json.dumps(card))
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=f"another version of vbbench: its {what} is another"):
        encoder_weights.encoder_digest(encoder_config("clip", Setting()), Setting())
