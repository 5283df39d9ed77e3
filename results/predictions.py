"""Which test videos a run got right: its predictions.csv, or the compressed copy that results/records keeps."""

from __future__ import annotations

import csv
import functools
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("predictions.csv", "predictions.csv.gz")


def right_answers(run: Mapping[str, Any]) -> Mapping[str, bool] | None:
    """Video id -> whether its prediction was right, of a row of the frame; None where the file is missing or damaged.

    A table then shows no interval, which is all that it is read for.
    """
    path = run.get("path")
    return _read(str(Path(path).parent)) if isinstance(path, str) else None


@functools.lru_cache(maxsize=256)
def _read(folder: str) -> Mapping[str, bool] | None:
    for name in NAMES:
        path = Path(folder, name)
        if not path.is_file():
            continue
        try:
            with (
                gzip.open(path, "rt", encoding="utf-8") if name.endswith(".gz") else path.open(encoding="utf-8") as file
            ):
                found = {row["video_id"]: row["label"] == row["prediction"] for row in csv.DictReader(file)}
        except (OSError, EOFError, ValueError, KeyError, csv.Error):
            return None
        return found or None
    return None
