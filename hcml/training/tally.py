"""What a run has seen and used so far: part of its checkpoint, so that resuming changes no number."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hcml.training.alarms import alarms

log = logging.getLogger(__name__)

UNREADABLE_SHARE = 0.001
"""Replaced clips above this share of all clips of the run (and more than one) fail it."""


class UnreadableVideos(RuntimeError):
    """Too many training videos could not be read."""


@dataclass
class Tally:
    """Counters over the whole run (seconds leave out checkpoints) and sums over the open logging interval."""

    step: int = 0
    """Finished steps."""
    clips: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    """Of them, spent waiting for clips."""
    replaced: dict[str, int] = field(default_factory=dict)
    """Unreadable video id -> clips that were taken from another video instead."""
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Alarm -> first and last step at which it was raised, and its last message."""
    last: dict[str, float] = field(default_factory=dict)
    """Mean losses and statistics of the last closed interval."""
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float], clips: int, data_seconds: float, step_seconds: float) -> None:
        """Count one finished step with its numbers."""
        self.step += 1
        self.clips += clips
        self.seconds += data_seconds + step_seconds
        self.data_seconds += data_seconds
        for name, value in {**values, "data_time": data_seconds, "step_time": step_seconds}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def close_interval(self) -> dict[str, float]:
        """Means since the last call."""
        self.last = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return self.last

    def watch(self, settled: bool) -> dict[str, str]:
        """Raise the alarms of the last interval, once the turn has ``settled`` (in its warm-up all is at chance)."""
        raised = alarms(self.last) if settled else {}
        for name, message in raised.items():
            if name not in self.alarms:
                log.warning("ALARM at step %d: %s", self.step, message)
                self.alarms[name] = {"first_step": self.step}
            self.alarms[name].update(last_step=self.step, message=message)
        return raised

    def replace(self, video_ids: list[str], total_clips: int) -> None:
        """Count unreadable training videos; raises UnreadableVideos above the allowed share of ``total_clips``."""
        for video_id in video_ids:
            if video_id not in self.replaced:
                log.warning("unreadable training video %s: another one takes its place", video_id)
            self.replaced[video_id] = self.replaced.get(video_id, 0) + 1
        count = sum(self.replaced.values())
        if count > max(1.0, UNREADABLE_SHARE * total_clips):
            raise UnreadableVideos(
                f"{count} of {total_clips} training clips had to be replaced because their video is unreadable "
                f"(allowed: {100 * UNREADABLE_SHARE:g} %, at least one): prepare the benchmark again, which encodes "
                "them anew, or audit it, which leaves them out: " + ", ".join(sorted(self.replaced)[:20])
            )

    def costs(self) -> dict[str, float]:
        """Throughput and waiting, for the record of the run."""
        return {
            "seconds": self.seconds,
            "clips": self.clips,
            "clips_per_second": self.clips / self.seconds if self.seconds else 0.0,
            "data_time_share": self.data_seconds / self.seconds if self.seconds else 0.0,
        }

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)
