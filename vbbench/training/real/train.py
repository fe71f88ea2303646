"""Trains a stage of VideoBooth on real videos, from a dataset in the released layout to a file of weights.

One process by itself, or as many as ``accelerate launch`` or ``torchrun`` start: every one of them runs this.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from vbbench import resources
from vbbench.errors import UsageError
from vbbench.models.tensor_files import write_safetensors
from vbbench.training import checkpoint, curves
from vbbench.training.loop import facts_of, locked
from vbbench.training.objective import TrainedModule
from vbbench.training.real.loader import batches
from vbbench.training.real.objective import RealStage
from vbbench.training.real.parts import make_board, make_data, make_stage
from vbbench.training.real.processes import Processes, accelerator_for
from vbbench.training.real.recipes import RealRun
from vbbench.training.real.trainer import RealTrainer
from vbbench.training.recipes import environment
from vbbench.weights_io import card_path, read_card


def train(run: RealRun) -> None:
    """Train, or go on, until all steps are done, and write the weights and their card.

    Raises:
        UsageError: settings that do not go together, a work folder of another training or one that another process trains in, or
            weights of others where the result would go.
        InputError: a dataset without a clip that can be used.
        WeightsError: weights to start from are missing or damaged.
        VBBenchError: the loss is no longer finite, or a checkpoint cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    peers = Processes(accelerator_for(run.device))
    run.settings.check(peers.size)
    target = _target(run)
    if peers.rank != 0:
        peers.barrier()
        return _train(run, peers, target)
    run.folder.mkdir(parents=True, exist_ok=True)
    with locked(run.folder):
        checkpoint.clear_unfinished(run.folder)
        peers.barrier()  # now the others may look into it
        _train(run, peers, target)


def _train(run: RealRun, peers: Processes, target: Path) -> None:
    leads, settings = peers.rank == 0, run.settings
    found = _latest(run, peers)
    stage, made_from = make_stage(run, str(peers.accelerator.device))
    data, made_from["data"] = make_data(run, stage, "train", curves.say if leads else _quiet)
    if not peers.agree(int(made_from["data"][:15], 16)):
        raise UsageError(f"processes find different clips in {run.data} and {run.videos}: all of them must see the same files.")
    stage.frozen.read = lambda sample: data.frames(sample.draw)
    now = {"settings": settings.as_dict(), "made_from": made_from, "device": run.device, "workers": peers.size}
    now["clips"] = asdict(data.settings)
    facts = facts_of(found, now, run.name, run.seed, run.folder, curves.say if leads else _quiet)
    board = make_board(run, stage, found.step if found else 0) if leads else None
    trainer = RealTrainer(stage, settings, seed=run.seed, work=run.folder, peers=peers, board=board, found=found, facts=facts)
    share = batches(
        data,
        steps=range(trainer.done, settings.steps),
        global_batch=settings.global_batch,
        micro_batch=settings.micro_batch,
        rank=peers.rank,
        size=peers.size,
        workers=settings.loaders,
        cached=stage.frozen.has_latents,
    )
    try:
        result = trainer.train(share)
    finally:
        if board is not None:
            board.close()
    if leads:
        _write(run, stage, result, target)
    peers.barrier()


def _quiet(line: str) -> None:
    """The first process says it."""


def _target(run: RealRun) -> Path:
    """The file that the weights go to, in a folder that can be written to: told now, not after the work.

    Raises:
        UsageError: it holds weights that no training of this name and seed made.
    """
    path = (run.out or resources.weights_dir(run.scale)) / f"{run.seeded}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        card = read_card(path) if card_path(path).is_file() else {}
        if (card.get("recipe"), card.get("seed")) != (run.name, run.seed) or "made_from" not in card:
            raise UsageError(f"{path} holds weights that were not trained here: name another folder with --out, or remove them.")
    return path


def _latest(run: RealRun, peers: Processes) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from, the same for every process."""
    found = checkpoint.latest(run.folder, curves.say if peers.rank == 0 else _quiet)
    if not peers.agree(found.step if found else 0):
        raise UsageError(f"processes find different checkpoints in {run.folder}: all machines of a training must share that folder.")
    return found


def _write(run: RealRun, stage: RealStage, result: TrainedModule, path: Path) -> None:
    """The weights, in float32, and their card."""
    tensors, config = stage.export(result.module)
    tensors = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
    facts = {"steps": result.steps, "seconds": round(result.seconds, 1), "loss": result.loss, "validation": result.validation}
    facts |= {**result.facts, "parameters": sum(tensor.numel() for tensor in tensors.values()), "config": config}
    card = {"recipe": run.name, "scale": run.scale, "seed": run.seed, **facts, **environment(run.device)}
    write_safetensors(path, tensors, card, source=f"the training {run.name}")
    curves.say(f"{run.name}: {path}  {curves.figures(result.validation)}".rstrip())
