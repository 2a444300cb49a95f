"""Where a module computes is known for modules without parameters, too."""

from __future__ import annotations

import torch
from torch import nn

from flambeau.deploy.answer import device_of


def test_the_device_of_any_module() -> None:
    with_buffer = nn.Module()
    with_buffer.register_buffer("level", torch.zeros(1, device="meta"))
    assert device_of(nn.Identity()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert device_of(with_buffer) == torch.device("meta")
