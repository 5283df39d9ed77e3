"""Frame folders as handed out: `00001.jpg`, `00002.jpg`, ... without a gap."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hcml.data.container import VideoError

_FRAME = re.compile(r"(\d{5,})\.jpg")


def frame_files(folder: Path) -> list[str]:
    """Names of a folder's frames in their order. Raises :class:`VideoError`: no folder, no frames, or a gap."""
    try:
        numbers = {int(match[1]): name for name in os.listdir(folder) if (match := _FRAME.fullmatch(name))}
    except OSError as error:
        raise VideoError(folder, f"cannot be read as a folder of frames ({error.strerror}); unpack it again") from error
    if not numbers:
        raise VideoError(folder, "holds no frames (00001.jpg, ...); unpack it again")
    for number in range(1, len(numbers) + 1):
        if number not in numbers:
            raise VideoError(folder, f"has {len(numbers)} frames, but no {number:05d}.jpg; unpack it again")
    return [numbers[number] for number in sorted(numbers)]
