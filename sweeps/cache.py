"""Where libraries keep what they download: one folder for everybody who works on a site (`paths.cache`)."""

from __future__ import annotations

from pathlib import Path


def cache_environment(cache: str) -> dict[str, str]:
    """Environment variables of `paths.cache`, for the processes of runs; {} for '', which leaves all as it is.

    huggingface_hub (timm's weights) and torch read them once, when they are imported: set them before.
    """
    if not cache:
        return {}
    folder = Path(cache).expanduser().resolve()
    return {"HF_HOME": str(folder / "huggingface"), "TORCH_HOME": str(folder / "torch")}
