"""What one run keeps of the denoiser's calls: every step, shared parts once, copies that nobody can write into."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.pipelines.observe import MixedDtypes, Tap, Trajectory, draw, odd_dtypes, streams


class Denoiser(torch.nn.Module):
    """Half of its input, whatever the prompt."""

    def forward(self, hidden_states: torch.Tensor, *, prompt: torch.Tensor, scale: float) -> tuple[torch.Tensor]:
        return (hidden_states * 0.5 * scale,)


def test_every_step_is_kept_and_what_steps_share_is_kept_once() -> None:
    denoiser, prompt = Denoiser(), torch.ones(2, 3)
    tap = Tap(denoiser, keep=1)
    tap.begin()
    latents = torch.arange(4.0)
    for step in range(3):
        denoiser(latents, prompt=prompt.clone(), scale=float(step))
        latents += 1.0  # in place, as a scheduler may
    tap.begin()
    denoiser(latents, prompt=prompt, scale=1.0)
    digests = tap.close()

    assert tap.calls == [3, 1]
    assert len(digests) == 2
    (steps,) = tap.trajectory
    assert [step.args[0][0].item() for step in steps] == [0.0, 1.0, 2.0]
    assert [step.kwargs["scale"] for step in steps] == [0.0, 1.0, 2.0]
    assert [step.outputs[0][0].item() for step in steps] == [0.0, 0.5, 2.0]
    assert len({id(step.kwargs["prompt"]) for step in steps}) == 1
    prompt.zero_()
    assert torch.equal(steps[0].kwargs["prompt"], torch.ones(2, 3))


def test_a_changed_prompt_is_kept_anew() -> None:
    denoiser = Denoiser()
    tap = Tap(denoiser, keep=1)
    tap.begin()
    prompts = [torch.zeros(2), torch.zeros(2), torch.ones(2), torch.ones(3), torch.ones(3).double()]
    for prompt in prompts:
        denoiser(torch.ones(1), prompt=prompt, scale=1.0)
    tap.close()
    kept = [step.kwargs["prompt"] for step in tap.trajectory[0]]
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(kept, prompts, strict=True))
    assert len({id(tensor) for tensor in kept}) == 4


def test_a_call_moves_to_the_device_when_it_is_asked_for() -> None:
    denoiser, prompt = Denoiser(), torch.ones(2, 3)
    tap = Tap(denoiser, keep=2)
    for _ in range(2):
        tap.begin()
        for _ in range(2):
            denoiser(torch.ones(4), prompt=prompt, scale=1.0)
    tap.close()
    trajectory = Trajectory(tap.trajectory, "meta")
    assert len(trajectory) == len(list(trajectory)) == 2
    first, second = trajectory[0]
    assert first.args[0].device.type == first.outputs[0].device.type == "meta"
    assert first.kwargs["prompt"] is second.kwargs["prompt"]
    assert len(trajectory[:1]) == 1
    assert tap.trajectory[0][0].args[0].device.type == "cpu"


def test_a_streams_tensor_is_found_however_it_is_wrapped() -> None:
    tensor = torch.ones(2)
    assert streams((tensor,)) == (tensor,)
    assert streams({"sample": tensor, "audio": tensor}) == (tensor, tensor)


class Broken(SimpleNamespace):
    """A pipeline whose call multiplies what its encoder and its denoiser hold."""

    def __call__(self, **_: Any) -> None:
        torch.ones(2, 2, dtype=self.components["text_encoder"].weight.dtype) @ self.components["transformer"].weight


def test_a_component_in_another_dtype_is_named_with_both() -> None:
    parts = {name: torch.nn.Linear(2, 2, dtype=torch.bfloat16) for name in ("text_encoder", "transformer", "vae")}
    parts["text_encoder"].float()
    said = "text_encoder is in float32, the other components in bfloat16: expected m1 and m2 to have the same dtype"
    with pytest.raises(MixedDtypes, match=said):
        draw(Broken(components=parts), ["x"], call={}, seed=0, first=0)
    assert odd_dtypes({"text_encoder": "bfloat16", "vae": "bfloat16"}) == ""


def test_a_call_that_breaks_off_in_one_dtype_says_what_it_raised() -> None:
    parts = {name: torch.nn.Linear(3, 3) for name in ("text_encoder", "transformer")}
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        draw(Broken(components=parts), ["x"], call={}, seed=0, first=0)
