"""Samplers against diffusers, against each other, and where the answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vbbench.networks.sampling import sampling


def _toy(x: Tensor) -> Tensor:
    return 0.9 * torch.tanh(x)


@pytest.mark.parametrize("steps", [10, 50])
def test_faithful_is_diffusers_ddpm(steps: int) -> None:
    scheduler = sampling.make_scheduler("ddpm", variance_type="fixed_large")
    scheduler.set_timesteps(steps)
    tables = sampling.diffusion_tables(steps)
    assert scheduler.timesteps.tolist() == tables.timesteps.flip(0).tolist()
    x = torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    for index in reversed(range(steps)):
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(index))
        ours, clean = sampling.ancestral_step(tables, _toy(x), x, index, noise)
        theirs = scheduler.step(_toy(x), tables.timesteps[index], x, generator=generator)
        scale = theirs.prev_sample.abs().max().item()
        torch.testing.assert_close(ours, theirs.prev_sample, rtol=0, atol=1e-4 * scale)
        torch.testing.assert_close(clean, theirs.pred_original_sample, rtol=1e-4, atol=1e-4)
        x = ours


def test_released_number_of_steps_gives_diffusers_timesteps() -> None:
    scheduler = sampling.make_scheduler("ddpm")
    scheduler.set_timesteps(250)
    assert sampling.diffusion_tables(250).timesteps.flip(0).tolist() == scheduler.timesteps.tolist()
    for steps in (1, 1001):
        with pytest.raises(ValueError, match="between 2 and 1000"):
            sampling.diffusion_tables(steps)


def test_faithful_draws_and_guides_as_released() -> None:
    calls: list[tuple[str, int]] = []

    def noise(index: int, like: Tensor) -> Tensor:
        calls.append(("noise", index))
        return torch.full_like(like, 0.5)

    def model(sample: Tensor, timestep_B: Tensor, both: bool) -> tuple[Tensor, Tensor]:
        assert both
        assert timestep_B.shape == (2,)
        calls.append(("model", int(timestep_B[0])))
        return torch.ones_like(sample), torch.zeros_like(sample)

    seen: list[int] = []
    x = torch.zeros(2, 4, 3, 2, 2)
    out = sampling.faithful(
        model,
        x,
        sample_noise=noise,
        steps=3,
        callback=lambda index, sample, clean: seen.append(index),
    )
    assert calls == [
        ("model", 999),
        ("noise", 2),
        ("model", 500),
        ("noise", 1),
        ("model", 0),
        ("noise", 0),
    ]
    assert seen == [2, 1, 0]
    assert torch.equal(out[:, 0], out[:, 2])
    assert not torch.allclose(out[:, 3], out[:, 0])


def test_guided() -> None:
    cond, uncond = torch.full((1, 4, 2), 2.0), torch.ones(1, 4, 2)
    assert sampling.guided(cond, uncond, 4.0).unique().tolist() == [5.0]
    partial = sampling.guided(cond, uncond, 4.0, channels=3)
    assert partial[0, :, 0].tolist() == [5.0, 5.0, 5.0, 2.0]
    assert torch.equal(sampling.guided(cond, uncond, 1.0), cond)


@pytest.mark.parametrize("name", sorted(sampling.SCHEDULERS))
@pytest.mark.parametrize(
    ("prediction_type", "beta_schedule"), [("epsilon", "linear"), ("sample", "squaredcos_cap_v2")]
)
def test_schedulers_find_the_data(name: str, prediction_type: str, beta_schedule: str) -> None:
    """With a perfect prediction for data that is one point, every sampler must end there."""
    target = torch.tensor([1.5, -2.0, 3.0]).view(1, 3, 1, 1, 1).expand(2, 3, 2, 2, 2)
    scheduler = sampling.make_scheduler(
        name,
        prediction_type=prediction_type,
        beta_schedule=beta_schedule,
        timestep_spacing="trailing",
    )

    def branch(goal: Tensor, latents: Tensor, timestep_B: Tensor) -> Tensor:
        if prediction_type == "sample":
            return goal
        clean_part = sampling.noise_to_timestep(
            scheduler, goal, torch.zeros_like(goal), timestep_B[0]
        )
        noise_part = sampling.noise_to_timestep(
            scheduler, torch.zeros_like(goal), torch.ones_like(goal), timestep_B[0]
        )
        return (latents - clean_part) / noise_part

    def model(latents: Tensor, timestep_B: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        assert not both  # a guidance scale of 1 asks for no second branch
        return branch(target, latents, timestep_B), None

    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    steps: list[int] = []
    out = sampling.sample(
        model, scheduler, noise, 12, callback=lambda done, latents: steps.append(done)
    )
    assert steps == list(range(1, len(steps) + 1))
    torch.testing.assert_close(out, target, rtol=0.02, atol=0.02)


def test_guidance_weighs_both_branches() -> None:
    scheduler = sampling.make_scheduler("ddim", prediction_type="sample")

    def model(latents: Tensor, timestep_B: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        assert both
        return torch.full_like(latents, 2.0), torch.full_like(latents, 0.5)

    out = sampling.sample(model, scheduler, torch.randn(1, 3, 2, 2, 2), 3, guidance_scale=3.0)
    torch.testing.assert_close(out, torch.full_like(out, 0.5 + 3 * 1.5), atol=0.02, rtol=0.02)


def test_rows_have_their_own_noise() -> None:
    scheduler = sampling.make_scheduler("ddpm")
    noise = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))

    def run(rows: list[int]) -> Tensor:
        generators = [torch.Generator().manual_seed(row) for row in rows]
        return sampling.sample(
            lambda x, t, both: (_toy(x), None), scheduler, noise[rows], 4, generators=generators
        )

    torch.testing.assert_close(run([0, 1])[1:], run([1]))


def test_unknown_scheduler_is_refused() -> None:
    with pytest.raises(ValueError, match="there are ddim, ddpm"):
        sampling.make_scheduler("plms")


def test_noise_to_timestep_is_the_scheduler_noise() -> None:
    scheduler = sampling.make_scheduler("ddim", beta_schedule="squaredcos_cap_v2")
    x, noise = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    for timestep in (0, 400, 999):
        expected = scheduler.add_noise(x, noise, torch.tensor([timestep]))
        torch.testing.assert_close(
            sampling.noise_to_timestep(scheduler, x, noise, timestep),
            expected,
            rtol=1e-5,
            atol=1e-5,
        )
    between = sampling.noise_to_timestep(scheduler, x, torch.zeros_like(x), 400.5)
    assert (
        between.abs() < sampling.noise_to_timestep(scheduler, x, torch.zeros_like(x), 400).abs()
    ).all()
