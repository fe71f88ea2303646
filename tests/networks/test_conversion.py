"""Published files to our layout and back: identical; and a sentence for everything that can be
wrong with them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import published
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import load_weights, read_card, save_weights, verified_digest
from vbbench.errors import UsageError, WeightsError
from vbbench.networks import loading
from vbbench.networks.weights import conversion, released, tensor_files
from vbbench.networks.weights import conversion as parts
from vbbench.networks.weights.released import CODEC, IMAGE_ENCODER, MAPPER, TEXT_ENCODER, UNET

States = dict[str, published.State]
SIZES = published.TINY
AN_ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1"


@pytest.fixture(scope="session")
def golden() -> Path:
    return Path(__file__).parents[1] / "files" / "golden"


@pytest.fixture(scope="module")
def states() -> States:
    return published.tiny_states()


@pytest.fixture
def source(tmp_path: Path, states: States) -> Path:
    return published.write(tmp_path / "published", states)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "sd14"


def same(a: published.State, b: published.State) -> bool:
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a
    )


def content(path: Path, key: str) -> published.State:
    return torch.load(path, weights_only=True)[key]


# --- the real size
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "parameters"), [(UNET, 978, 1_042_210_564), (MAPPER, 196, 97_635_840)]
)
def test_files_of_the_real_size_have_every_key_and_shape(
    golden: Path, tmp_path: Path, kind: str, keys: int, parameters: int
) -> None:
    thin = published.thin_state(golden / f"{kind}_keys.txt")
    path = tmp_path / published.PLACES[kind]
    torch.save({published.TOP_LEVEL[kind]: thin}, path)
    part = parts.find_parts([path])[kind]
    wanted = released.released_table(released.real_sizes(), kind)
    assert len(part.tensors) == len(wanted) == keys
    assert sum(tensor.numel() for tensor in part.tensors.values()) == parameters
    assert released.misfits(part.tensors, wanted) == ""
    if kind == MAPPER:
        ours = released.trained_from(part.tensors, released.real_sizes(), "fine")
        assert sum(tensor.numel() for tensor in ours.values()) == parameters
        assert {key: value.shape for key, value in released.mapper_file(ours).items()} == {
            key: value.shape for key, value in thin.items()
        }
    del thin["conv_in.weight" if kind == UNET else "mapping_0.0.bias"]
    assert released.misfits(thin, wanted).startswith("1 missing: ")


# --- there and back
# ---------------------------------------------------------------------------------------------------


def test_the_golden_weights_come_back_identical(golden: Path, tmp_path: Path, out: Path) -> None:
    """Among them the projections of the UNet's file that the released code replaces, which differ
    from those it replaces them with."""
    states, sizes = published.golden_states(golden), published.golden_sizes(golden)
    done = conversion.from_released([published.write(tmp_path / "published", states)], out, sizes)
    assert [path.name for path in done.written] == [
        f"{name}.safetensors" for name in ("base", "codec", "image-encoder", "videobooth")
    ]
    assert done.lacking == ()
    base = loading.load_network("base", "sd14").unet.state_dict()
    assert same({key: base[key] for key in states[UNET]}, states[UNET])
    conversion.to_released(out, tmp_path / "back")
    assert same(content(tmp_path / "back" / "watermark_remove_module.pt", "ema_unet"), states[UNET])
    assert same(content(tmp_path / "back" / "mapper.pt", "ema"), states[MAPPER])
    replaced, by = (
        states[UNET][f"{AN_ATTENTION}.to_k.weight"],
        states[MAPPER][f"{AN_ATTENTION.replace('.', '_')}_to_k_new.weight"],
    )
    assert not torch.equal(replaced, by)


@pytest.mark.usefixtures("source")
def test_what_is_written_is_what_is_loaded(source: Path, out: Path, states: States) -> None:
    conversion.from_released([source], out, SIZES, coarse_path=True)
    network = loading.load_videobooth("fine", "base", "image-encoder", "videobooth", "sd14")
    flat = AN_ATTENTION.replace(".", "_")
    state = network.state_dict()
    assert torch.equal(
        state[f"base.unet.{AN_ATTENTION}.to_k.weight"], states[MAPPER][f"{flat}_to_k_new.weight"]
    )
    assert torch.equal(
        state[f"base.unet.{AN_ATTENTION}.to_v_image.weight"],
        states[MAPPER][f"{flat}_to_v_exemplar.weight"],
    )
    assert torch.equal(
        state["mapper.mapping_patch.1.6.weight"], states[MAPPER]["mapping_patch_1.6.weight"]
    )
    key = "encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(
        state[f"image_encoder.vision.{key}"], states[IMAGE_ENCODER][f"vision_model.{key}"]
    )
    assert torch.equal(state[f"base.text_encoder.{key}"], states[TEXT_ENCODER][f"text_model.{key}"])
    codec = loading.load_codec("codec", "sd14").state_dict()
    assert torch.equal(codec["vae.encoder.conv_in.weight"], states[CODEC]["encoder.conv_in.weight"])
    coarse = loading.load_videobooth(
        "coarse", "base", "image-encoder", "videobooth-coarse", "sd14"
    ).state_dict()
    assert torch.equal(coarse["mapper.mapping.0.0.weight"], state["mapper.mapping.0.0.weight"])
    assert torch.equal(
        coarse[f"base.unet.{AN_ATTENTION}.to_k.weight"], states[UNET][f"{AN_ATTENTION}.to_k.weight"]
    )


def test_cards_say_what_weights_were_made_of(source: Path, out: Path) -> None:
    path = source / "mapper.pt"
    conversion.from_released(
        [source], out, SIZES, coarse_path=True, origins={path: "owner/name@0123"}
    )
    card = read_card(out / "videobooth.safetensors")
    assert card["sources"]["mapper"] == {
        "file": "mapper.pt",
        "key": "ema",
        "from": "owner/name@0123",
        "sha256": tensor_files.hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert card["config"] == {"stage": "fine", "noises_image_prompt": True}
    assert set(read_card(out / "base.safetensors")["sources"]) == {"unet", "text-encoder"}
    assert "coarse path" in read_card(out / "videobooth-coarse.safetensors")["note"]
    for each in out.glob("*.safetensors"):
        verified_digest(each)


@pytest.mark.parametrize("key", ["ema", "ema_unet", "unet", "epoch_7", None, "safetensors"])
def test_any_top_level_key_will_do(
    tmp_path: Path, out: Path, states: States, key: str | None
) -> None:
    path = tmp_path / ("x.safetensors" if key == "safetensors" else "x.pt")
    if key == "safetensors":
        save_file(states[MAPPER], path)
    else:
        torch.save(
            states[MAPPER] if key is None else {key: states[MAPPER], "steps": 3, "ema_2": {}}, path
        )
    done = conversion.from_released([path], out, SIZES)
    assert [each.name for each in done.written] == ["videobooth.safetensors"]
    assert [sentence.split()[0] for sentence in done.lacking] == ["base", "codec", "image-encoder"]


def test_the_averaged_weights_are_preferred(tmp_path: Path, out: Path, states: States) -> None:
    other = {key: value + 1 for key, value in states[MAPPER].items()}
    torch.save(
        {"unet": other, "ema": states[MAPPER]},
        tmp_path / "x.pt",
        _use_new_zipfile_serialization=False,
    )
    conversion.from_released([tmp_path / "x.pt"], out, SIZES)
    assert torch.equal(
        load_file(out / "videobooth.safetensors")["mapper.mapping.0.0.bias"],
        states[MAPPER]["mapping_0.0.bias"],
    )


def test_the_first_stages_mapper_becomes_coarse_weights_and_comes_back(
    source: Path, tmp_path: Path, out: Path
) -> None:
    mapper = published.random_state(SIZES, MAPPER, "coarse")
    torch.save({"ema": mapper}, source / "mapper.pt")
    done = conversion.from_released([source], out, SIZES)
    assert "first stage" in done.lacking[0]
    conversion.to_released(out, tmp_path / "back", "videobooth-coarse")
    assert same(content(tmp_path / "back" / "mapper.pt", "ema"), mapper)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_stay_halves(
    source: Path, tmp_path: Path, out: Path, states: States, dtype: torch.dtype
) -> None:
    mapper = {key: value.to(dtype) for key, value in states[MAPPER].items()}
    torch.save({"ema": mapper}, source / "mapper.pt")
    conversion.from_released([source], out, SIZES)
    conversion.to_released(out, tmp_path / "back")
    assert same(content(tmp_path / "back" / "mapper.pt", "ema"), mapper)


def test_weights_trained_here_go_back_too(
    source: Path, tmp_path: Path, out: Path, states: States
) -> None:
    """Stored as differences in eight bits, they become what the network would hold."""
    conversion.from_released([source], out, SIZES)
    (plain, card), base = (
        load_weights(out / "videobooth.safetensors"),
        load_file(out / "base.safetensors"),
    )
    card["config"]["differences"] = True
    stored = {key: value - base.get(key.removeprefix("base."), 0.0) for key, value in plain.items()}
    save_weights(out / "own.safetensors", stored, card, eight_bit=True)
    conversion.to_released(out, tmp_path / "back", "own")
    found = content(tmp_path / "back" / "mapper.pt", "ema")
    assert all(
        torch.allclose(found[key], value, atol=0.03) for key, value in states[MAPPER].items()
    )
    save_weights(out / "fine.safetensors", plain, {"config": {"stage": "fine-only"}})
    with pytest.raises(WeightsError, match="of the stage fine-only, and the released code has"):
        conversion.to_released(out, tmp_path / "no", "fine")


# --- what a file is
# ---------------------------------------------------------------------------------------------------


def test_older_autoencoders_names_are_known(source: Path, out: Path, states: States) -> None:
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    pattern = re.compile(r"\.to_(q|k|v|out\.0)\.")
    save_file(
        {pattern.sub(lambda m: old[m[0]], key): value for key, value in states[CODEC].items()},
        source / published.PLACES[CODEC],
    )
    conversion.from_released([source], out, SIZES)
    key = "decoder.mid_block.attentions.0.to_out.0.weight"
    assert torch.equal(load_file(out / "codec.safetensors")[f"vae.{key}"], states[CODEC][key])


def test_the_same_again_as_a_pickle_and_other_files_are_passed_over(
    source: Path, out: Path, states: States
) -> None:
    torch.save(states[CODEC], source / "vae" / "diffusion_pytorch_model.bin")
    save_file(
        {key: value.half() for key, value in states[CODEC].items()},
        source / "vae" / "diffusion_pytorch_model.fp16.safetensors",
    )
    save_file({"concept_embeds": torch.ones(2)}, source / "safety.safetensors")
    assert len(conversion.from_released([source], out, SIZES).written) == 4


def test_two_of_one_kind_are_told(source: Path, out: Path) -> None:
    shutil.copytree(source / "vae", source / "vae2")
    with pytest.raises(
        WeightsError, match="the autoencoder is there 2 times, in .*vae2.*name the files"
    ):
        conversion.from_released([source], out, SIZES)
    done = conversion.from_released(
        [source / "mapper.pt", source / "vae2", source / "mapper.pt"], out, SIZES
    )
    assert [path.stem for path in done.written] == ["codec", "videobooth"]


Damage = Callable[[Path, published.State], object]


def _save(**changes: object) -> Damage:
    def damage(path: Path, state: published.State) -> None:
        changed = {**state, **{key.replace("__", "."): value for key, value in changes.items()}}
        torch.save(
            {"ema": {key: value for key, value in changed.items() if value is not None}}, path
        )

    return damage


class _Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("code in a weights file was run",))


FAULTS: dict[str, tuple[Damage, str]] = {
    "missing": (
        _save(mapping_0__0__bias=None),
        r"mapper\.pt does not fit as VideoBooth's mapper: 1 missing: mapping_0\.0\.bias",
    ),
    "unexpected": (_save(surplus=torch.zeros(1)), "1 unexpected: surplus"),
    "misshapen": (
        _save(mapping_0__0__bias=torch.zeros(3)),
        r"1 misshapen: mapping_0\.0\.bias \(3,\) for \(16,\)",
    ),
    "double": (
        _save(mapping_0__0__bias=torch.zeros(16).double()),
        r"1 of a dtype that is not float32, float16 or bfloat16: mapping_0\.0\.bias float64",
    ),
    "whole numbers": (
        _save(mapping_0__0__bias=torch.zeros(16).long()),
        r"1 of a dtype that is not float32, float16 or bfloat16: mapping_0\.0\.bias int64",
    ),
    "NaN": (
        _save(mapping_0__0__bias=torch.full((16,), torch.nan)),
        r"mapper\.mapping\.0\.0\.bias of .*mapper\.pt holds NaN",
    ),
    "infinite": (
        _save(mapping_0__0__bias=torch.full((16,), torch.inf)),
        "holds NaN or infinite values",
    ),
    "cut off": (
        lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "cut off or damaged",
    ),
    "no weights": (
        lambda path, _: path.write_text("<html>not found</html>"),
        r"mapper\.pt is cut off or damaged, or no file of weights",
    ),
    "empty": (lambda path, _: path.write_bytes(b""), r"mapper\.pt is empty"),
    "code": (
        lambda path, state: torch.save({"ema": state, "x": _Harmful()}, path),
        "holds code besides tensors .*never run",
    ),
    "no table": (
        lambda path, _: torch.save({"epoch": 3, "lr": 0.1}, path),
        "holds no table of tensors: at its top it has epoch, lr",
    ),
    "another's": (
        lambda path, _: torch.save({"ema_unet": published.random_state(SIZES, UNET)}, path),
        r"mapper\.pt should hold VideoBooth's mapper, and holds VideoBooth's UNet under its key 'ema_unet'",
    ),
    "image UNet": (
        lambda path, _: torch.save(
            {"conv_in.weight": torch.ones(1), "down_blocks.0.x": torch.ones(1)},
            path.with_name("unet.pt"),
        ),
        "holds an image UNet, without VideoBooth's temporal attention",
    ),
    "ours": (
        lambda path, _: torch.save(
            {"unet.conv_in.weight": torch.ones(1)}, path.with_name("unet.pt")
        ),
        "vbbench's own names already",
    ),
    "gone": (lambda path, _: path.unlink(), "there is no file or folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_file_is_a_sentence(
    tmp_path: Path, out: Path, states: States, fault: str
) -> None:
    path = published.write(tmp_path, {MAPPER: states[MAPPER]}) / "mapper.pt"
    damage, told = FAULTS[fault]
    damage(path, states[MAPPER])
    paths = [path.with_name("unet.pt")] if path.with_name("unet.pt").exists() else [path]
    with pytest.raises(WeightsError, match=told) as caught:
        conversion.from_released(paths, out, SIZES)
    assert "\n" not in str(caught.value)
    assert not list(out.glob("*"))


def test_a_safetensors_file_that_is_cut_off_is_told(source: Path, out: Path) -> None:
    path = source / published.PLACES[CODEC]
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(
        WeightsError, match=r"diffusion_pytorch_model\.safetensors is cut off or damaged"
    ):
        conversion.from_released([source], out, SIZES)


def test_the_first_few_of_many_misfits_are_named_and_all_counted(states: States) -> None:
    wanted = released.released_table(SIZES, MAPPER)
    told = released.misfits({}, wanted)
    first = ", ".join(list(wanted)[:5])
    assert told == f"{len(wanted)} missing: {first} and {len(wanted) - 5} more"


def test_nothing_is_written_over_unless_asked_for(source: Path, tmp_path: Path, out: Path) -> None:
    conversion.from_released([source / "mapper.pt"], out, SIZES)
    with pytest.raises(UsageError, match=r"videobooth\.safetensors is there already: --replace"):
        conversion.from_released([source], out, SIZES)
    conversion.from_released([source], out, SIZES, replace=True)
    conversion.to_released(out, tmp_path / "back")
    with pytest.raises(UsageError, match="are there already"):
        conversion.to_released(out, tmp_path / "back")


def test_a_disk_without_room_is_told_before_anything_is_written(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    with pytest.raises(UsageError, match="GB free, and .* would be written"):
        conversion.from_released([source], out, SIZES)
    assert not out.exists()


def test_the_last_good_file_survives_a_disk_that_fills_up(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion.from_released([source], out, SIZES)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_files, "_flush", full)
    with pytest.raises(OSError, match="No space"):
        conversion.from_released([source], out, SIZES, replace=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_going_back_tells_what_is_wrong(source: Path, tmp_path: Path, out: Path) -> None:
    conversion.from_released([source], out, SIZES)
    with pytest.raises(WeightsError, match="there are no weights .*nothing"):
        conversion.to_released(out, tmp_path / "back", "nothing")
    tensors, card = load_weights(out / "videobooth.safetensors")
    tensors.pop("mapper.mapping.0.0.bias")
    save_weights(out / "videobooth.safetensors", tensors, card)
    with pytest.raises(
        WeightsError, match=r"videobooth in .* do not fit: 1 missing: mapping_0\.0\.bias"
    ):
        conversion.to_released(out, tmp_path / "back")
    (out / "base.json").write_text(
        json.dumps({**read_card(out / "base.safetensors"), "config": {"unet": 1}})
    )
    with pytest.raises(WeightsError, match="no configuration that can be built from"):
        conversion.to_released(out, tmp_path / "back")
    (out / "base.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="damaged or were changed"):
        conversion.to_released(out, tmp_path / "back")
    assert not (tmp_path / "back").exists()
