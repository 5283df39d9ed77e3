"""What to type for one run: the sweep that made it, narrowed to what is known of the run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from results.checks import dig
from results.flatten import phase_configs

START = ("finetune", "probe", "retrieval")
"""The phases that say what they start from."""


def narrowed(record: Mapping[str, Any]) -> str:
    """The recorded command for the run's own seed, levels and start alone; '' where it is no sweep.

    What else the sweep varies it still varies: a sweep knows the names of its own axes, a record does not.
    """
    command = [str(word) for word in record["command"]]
    if command[1:2] != ["sweeps/run.py"] or "-m" not in command:
        return ""
    phases = phase_configs(record)
    start = next((init for phase in START if (init := dig(phases.get(phase) or {}, "init"))), None)
    seed = dig(phases.get("finetune") or {}, "seed")
    own = {
        "seed": record["seed"] if seed is None else seed,
        "levels": dig(record["config"], "model.levels"),
        "init": start,
    }
    own = {key: value for key, value in own.items() if value is not None}
    if record["phase"] != "test":
        own["phase"] = record["phase"]
    kept = [word for word in command if re.split("[=+]", word.lstrip("+"))[0] not in own]
    return shlex.join([*kept, *(f"{key}={value}" for key, value in own.items())])
