"""Signs in the logged numbers that a self-supervised run is learning nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

COLLAPSED_STD = 0.05
"""Of the L2-normalised features x sqrt(D): 1 = spread uniformly, 0 = all the same (SimSiam, arXiv 2011.10566)."""
COLLAPSED_RANK = 2.0
"""Effective rank (of at most D) below which one direction explains nearly everything."""
CHANCE_MARGIN = 0.01
"""A contrast loss within this share of log(N) says no more than a guess."""
BOUND_SHARE = 0.2
"""Share of displacements at their bound above which the search window is too small, or the head runs away."""


def alarms(values: Mapping[str, float]) -> dict[str, str]:
    """Name -> message of every alarm that the numbers of one interval raise.

    ``values`` holds ``std_l``, ``rank_l``, ``loss_contrast_l``, ``log_n_l`` of the active levels, and ``at_bound``;
    what is absent raises nothing.
    """
    raised: dict[str, str] = {}
    for name, value in values.items():
        match = re.fullmatch(r"(std|rank|loss_contrast)_(\d+)", name)
        if not match:
            continue
        kind, level = match[1], int(match[2])
        if kind == "std" and value < COLLAPSED_STD:
            raised[name] = f"level {level} has collapsed: feature std {value:.3g} is below {COLLAPSED_STD} (1 = spread)"
        elif kind == "rank" and value < COLLAPSED_RANK:
            raised[name] = f"level {level} has collapsed: effective rank {value:.3g} is below {COLLAPSED_RANK:g}"
        elif kind == "loss_contrast":
            log_n = values.get(f"log_n_{level}", 0.0)
            if value >= (1 - CHANCE_MARGIN) * log_n > 0:
                raised[name] = f"level {level} predicts at chance: contrast loss {value:.4g}, log(N) = {log_n:.4g}"
    if values.get("at_bound", 0.0) > BOUND_SHARE:
        raised["at_bound"] = (
            f"{100 * values['at_bound']:.0f} % of the displacements are at their bound (warning above "
            f"{100 * BOUND_SHARE:.0f} %): raise motion.max_displacement or lower sampling.frame_stride"
        )
    return raised
