"""Scripts of the tasks that have a flow and a template of their own, and the imports that every script begins with."""

from __future__ import annotations

from flambeau.deploy.eject.chat_script import known_of_chat, write_chat_glue
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.gan_script import known_of_gan, write_gan_glue
from flambeau.deploy.eject.language_script import known_of_language, write_language_glue
from flambeau.deploy.eject.reading import write_reading
from flambeau.deploy.eject.series_script import known_of_series, write_series_glue
from flambeau.deploy.specialise import eject_text

IMPORTS = """\
import copy
import importlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer"""


def other_script(facts: RunFacts) -> str | None:
    """The script of a run whose task has a template of its own; None for models of samples.

    Raises RunError where something that the run did has no plain form.
    """
    if facts.task == "generate":
        return eject_text(write_gan_glue(facts, write_reading(facts), IMPORTS), facts=known_of_gan(facts))
    if facts.task == "language":
        return eject_text(write_language_glue(facts, IMPORTS), facts=known_of_language(facts))
    if facts.task == "forecast":
        return eject_text(write_series_glue(facts, IMPORTS), facts=known_of_series(facts))
    if facts.task == "chat":
        return eject_text(write_chat_glue(facts, IMPORTS), facts=known_of_chat(facts))
    return None
