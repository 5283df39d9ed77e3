"""The hierarchy of motion levels, embedded into a backbone at its tapped maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from hcml.config import FusionConfig, MotionConfig
from hcml.motion.fusion import Fusion
from hcml.motion.prime import PrimeMotion
from hcml.motion.semantic import SemanticMotion


class Level(nn.Module):
    """One step of the hierarchy: the motion block of a map and its fusion into that map."""

    def __init__(self, level: int, map_size: tuple[int, int, int], motion: MotionConfig, fusion: FusionConfig) -> None:
        super().__init__()
        channels, height, width = map_size
        if level == 1:
            self.motion: nn.Module = PrimeMotion(channels, height, width, motion)
        else:
            self.motion = SemanticMotion(level, channels, height, width, motion)
        self.fusion = Fusion(channels, motion, fusion)


class Hierarchy(nn.Module):
    """Levels 1..n, one for each map of `map_sizes` [(C, h, w), ...].

    Raises:
        ValueError: if a map is too small for its cost volume.
    """

    def __init__(self, map_sizes: Sequence[tuple[int, int, int]], motion: MotionConfig, fusion: FusionConfig) -> None:
        super().__init__()
        self.detach_levels = motion.detach_levels
        self.levels = nn.ModuleList(Level(i + 1, size, motion, fusion) for i, size in enumerate(map_sizes))

    def __len__(self) -> int:
        return len(self.levels)

    def embed(self, num_frames: int, active_levels: int, fuse_top: bool) -> Embedding:
        """The callable that a backbone calls at its taps, for one forward pass."""
        return Embedding(self, num_frames, active_levels, fuse_top)

    def trained_parameters(self, active_levels: int) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that the losses of levels 1..active_levels reach: not the top level's fusion, behind which
        there is no loss."""
        for i in range(active_levels):
            level = self.level(i)
            yield from level.motion.named_parameters(prefix=f"levels.{i}.motion")
            if i + 1 < active_levels:
                yield from level.fusion.named_parameters(prefix=f"levels.{i}.fusion")

    def level(self, index: int) -> Level:
        """Level `index` + 1."""
        level = self.levels[index]
        assert isinstance(level, Level)
        return level


class Embedding:
    """Collects the motion features of one forward pass and gives the backbone the fused maps.

    With `motion.detach_levels` no loss of a level's motion feature reaches the motion blocks below. Where the backbone
    stops at the top level (pretraining), P_l is cut off in front of its fusion, so that the stages between two levels
    and the fusions still learn from the levels above. With a classifier behind the fusions, whose loss must pass
    them, a level sees its map cut off instead.

    Args:
        hierarchy: the levels.
        num_frames: T, to tell clips from frames in the backbone's [B * T, C, h, w].
        active_levels: levels that are computed; the taps above pass unchanged.
        fuse_top: whether the last active level is fused too (not when the backbone stops there).
    """

    def __init__(self, hierarchy: Hierarchy, num_frames: int, active_levels: int, fuse_top: bool) -> None:
        self.hierarchy = hierarchy
        self.num_frames = num_frames
        self.active_levels = active_levels
        self.fuse_top = fuse_top
        self.motion: list[Tensor] = []

    def __call__(self, index: int, feature_map: Tensor) -> Tensor:
        """Tap `index` (0 = level 1): [B * T, C, h, w] -> the same shape."""
        if index >= self.active_levels:
            return feature_map
        level = self.hierarchy.level(index)
        maps = feature_map.view(-1, self.num_frames, *feature_map.shape[1:])
        detach = self.hierarchy.detach_levels
        motion = level.motion(maps.detach() if detach and self.fuse_top and index > 0 else maps)
        self.motion.append(motion)
        if index + 1 == self.active_levels and not self.fuse_top:
            return feature_map
        fused = motion.detach() if detach and not self.fuse_top else motion
        return level.fusion(maps, fused).flatten(0, 1)
