"""What an imitation of each data set consists of: annotation files to the byte, and clips."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from benchmarks.kinetics400 import folder_names
from benchmarks.official import Official
from benchmarks.something_something import SUBSETS
from benchmarks.synthesize.containers import Clip
from benchmarks.synthmotion.spec import CLASSES

FAVOURED: dict[str, tuple[str, ...]] = {
    "kinetics400": ("massaging person's head", "passing American football (in game)", "skiing crosscountry"),
    "ucf101": ("HandstandPushups", "HammerThrow", "Hammering", "JumpRope", "JumpingJack"),
    "hmdb51": ("climb", "climb_stairs", "kick", "kick_ball", "sword", "sword_exercise"),
}
"""Data set -> classes chosen first: those whose names are traps."""
SIDED = ("right", "right_then_down", "accelerate")
"""What the first classes of mirrored pairs show (all go right); the second ones show mirror images of it, so that a
flip with labels swapped is as true here as it is in the data set."""
CURIOUS = ("Plain", "New!_[_HD_]", "Ali_&_Bo", "Part_#1_(of_2)", "a;b+c", "x~y@z")
"""Beginnings of names, with the characters that HMDB-51's names have."""
SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "kinetics400": ((320, 240), (240, 320), (426, 240), (340, 256)),
    "sthv1": ((132, 100), (176, 100)),
    "sthv2": ((320, 240), (426, 240)),
    "ucf101": ((320, 240),),
    "hmdb51": ((320, 240), (352, 240)),
}
"""Data set -> (width, height) that its clips take turns in."""
RATES: dict[str, tuple[Fraction, ...]] = {
    "kinetics400": (Fraction(30), Fraction(30000, 1001), Fraction(25)),
    "sthv1": (Fraction(12),),
    "sthv2": (Fraction(12),),
    "ucf101": (Fraction(25),),
    "hmdb51": (Fraction(30),),
}


@dataclass
class Plan:
    """An imitation before it is written."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Annotation file, relative to the root -> its bytes."""
    clips: list[Clip] = field(default_factory=list)


@dataclass(frozen=True)
class Order:
    """What is wanted."""

    data: Official
    classes: int
    train: int
    """Training videos of each class in each split."""
    test: int
    short_side: int | None = None


def plan_of(order: Order) -> Plan:
    """A pure function of what is wanted."""
    plan = PLANS[order.data.name](order)
    sizes, rates = SIZES[order.data.name], RATES[order.data.name]
    for number, clip in enumerate(plan.clips):
        width, height = sizes[number % len(sizes)]
        if order.short_side is not None:
            scale = order.short_side / min(width, height)
            width, height = (2 * round(side * scale / 2) for side in (width, height))
        frames = 30 + zlib.crc32(clip.place.encode()) % 11
        # a scene of its own for every clip, whatever classes share a motion
        plan.clips[number] = replace(
            clip, index=number, width=width, height=height, frames=frames, fps=rates[number % len(rates)]
        )
    return plan


def chosen_classes(data: Official, count: int) -> list[str]:
    """`count` of the classes: mirrored pairs and traps first, then others evenly spread over the list."""
    every = data.classes()
    names = [name for pair in data.mirrored for name in pair] + list(FAVOURED.get(data.name, ()))
    if data.mirrored:
        names = names[: count - count % 2]
    rest = [name for name in every if name not in names]
    names = names[:count]
    lacking = count - len(names)
    return names + [rest[i * len(rest) // lacking] for i in range(lacking)]


def motions_of(data: Official, names: list[str]) -> dict[str, tuple[str, bool]]:
    """Class -> what it shows: a class of synthmotion, and whether it is mirrored."""
    sided = {}
    for number, (first, second) in enumerate(data.mirrored):
        sided[first], sided[second] = (SIDED[number], False), (SIDED[number], True)
    # `left` too is shown by mirror images of `right` already
    others = [name for name in CLASSES if not data.mirrored or name not in (*SIDED, "left")]
    plain = [name for name in names if name not in sided]
    return sided | {name: (others[i % len(others)], False) for i, name in enumerate(plain)}


def _subsets(order: Order) -> list[tuple[str, str, str, bool]]:
    """For data sets with one split: (subset, class, what it shows, mirrored) of each video, in the lists' order."""
    motions = motions_of(order.data, names := chosen_classes(order.data, order.classes))
    counts = (("train", order.train), ("test", order.test))
    return [(subset, name, *motions[name]) for subset, count in counts for _ in range(count) for name in names]


def _kinetics(order: Order) -> Plan:
    """CSV with quoted labels; the last clips of the training and of the validation list are dead links."""
    plan = Plan()
    motions = motions_of(order.data, names := chosen_classes(order.data, order.classes))
    for which, count in (("train", order.train), ("val", order.test), ("test", order.test)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(("label", "youtube_id", "time_start", "time_end", "split"))
        for number in range(count):
            for name in names:
                # ids may begin with - and hold _
                youtube_id = f"-{which[:2]}_{names.index(name):03}{number:04}"
                start = 7 * number
                writer.writerow((name, youtube_id, start, start + 10, "validate" if which == "val" else which))
                place = f"{which}/{folder_names(name)[0]}/{youtube_id}_{start:06}_{start + 10:06}.mp4"
                motion, mirrored = motions[name]
                subset = "train" if which == "train" else "test"
                plan.clips.append(Clip(place, subset, motion, mirrored))
        if which != "test" and len(names) * count > 1:
            plan.clips.pop()
        plan.files[f"{which}.csv"] = text.getvalue().encode()
    return plan


def _something_v1(order: Order) -> Plan:
    plan = Plan()
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number, (subset, name, motion, mirrored) in enumerate(_subsets(order)):
        video_id = str(number * 7 + 1)
        lines[subset].append(f"{video_id};{name}\n")
        plan.clips.append(Clip(f"20bn-something-something-v1/{video_id}", subset, motion, mirrored))
    plan.files["something-something-v1-labels.csv"] = "".join(f"{x}\n" for x in order.data.classes()).encode()
    for subset, what in SUBSETS:
        plan.files[f"something-something-v1-{what}.csv"] = "".join(lines[subset]).encode()
    plan.files["something-something-v1-test.csv"] = b"999999\n"
    return plan


def _something_v2(order: Order) -> Plan:
    plan = Plan()
    rows: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
    for number, (subset, name, motion, mirrored) in enumerate(_subsets(order)):
        video_id = str(number * 7 + 1)
        template = name.replace("something", "[something]").replace("Something", "[Something]")
        things = ["a block"] * template.count("[")
        label = name.replace("something", "a block").replace("Something", "A block")
        rows[subset].append({"id": video_id, "label": label, "template": template, "placeholders": things})
        plan.clips.append(Clip(f"20bn-something-something-v2/{video_id}.webm", subset, motion, mirrored))
    numbers = {name: str(i) for i, name in enumerate(order.data.classes())}
    plan.files["something-something-v2-labels.json"] = json.dumps(numbers).encode()
    for subset, what in SUBSETS:
        plan.files[f"something-something-v2-{what}.json"] = json.dumps(rows[subset]).encode()
    plan.files["something-something-v2-test.json"] = json.dumps([{"id": "999999"}]).encode()
    return plan


def _ucf(order: Order) -> Plan:
    """A group has as many clips as a split tests of a class; split k tests on another group."""
    plan = Plan()
    classes, motions = order.data.classes(), motions_of(order.data, names := chosen_classes(order.data, order.classes))
    total = order.train + order.test
    for name in names:
        for i in range(total):
            # each clip is in training in some split, so all have the textures of one family
            plan.clips.append(Clip(f"UCF-101/{name}/{_ucf_file(name, i, order.test)}", "train", motions[name][0]))
    folder = "ucfTrainTestlist"
    plan.files[f"{folder}/classInd.txt"] = "".join(f"{i} {name}\r\n" for i, name in enumerate(classes, 1)).encode()
    for split in (1, 2, 3):
        group = (split - 1) % (total // order.test)
        lines: dict[str, list[str]] = {"train": [], "test": []}
        for name in sorted(names, key=classes.index):
            for i in range(total):
                path = f"{name}/{_ucf_file(name, i, order.test)}"
                tested = i // order.test == group
                lines["test" if tested else "train"].append(path if tested else f"{path} {classes.index(name) + 1}")
        for subset, some in lines.items():
            plan.files[f"{folder}/{subset}list{split:02}.txt"] = "".join(f"{line}\r\n" for line in some).encode()
    return plan


def _ucf_file(name: str, number: int, per_group: int) -> str:
    stem = "HandStandPushups" if name == "HandstandPushups" else name
    return f"v_{stem}_g{number // per_group + 1:02}_c{number % per_group + 1:02}.avi"


def _hmdb(order: Order) -> Plan:
    """One clip of each class more than a split uses; split k tests on others, and leaves another one out."""
    plan = Plan()
    motions = motions_of(order.data, names := chosen_classes(order.data, order.classes))
    total = order.train + order.test + 1
    folder = "testTrainMulti_7030_splits"
    for name in order.data.classes():
        files = []
        for i in range(total if name in names else 0):
            files.append(f"{CURIOUS[i % len(CURIOUS)]}_{name}_u_nm_np1_fr_med_{i}.avi")
            plan.clips.append(Clip(f"hmdb51_org/{name}/{files[i]}", "train", motions[name][0]))
        for split in (1, 2, 3):
            lines = []
            for i, file in enumerate(files):
                turned = (i - (split - 1) * order.test) % total
                code = 2 if turned < order.test else 0 if turned == order.test else 1
                lines.append(f"{file} {code} \n")  # the official lines end in a space
            plan.files[f"{folder}/{name}_test_split{split}.txt"] = "".join(lines).encode()
    return plan


PLANS: dict[str, Callable[[Order], Plan]] = {
    "kinetics400": _kinetics,
    "sthv1": _something_v1,
    "sthv2": _something_v2,
    "ucf101": _ucf,
    "hmdb51": _hmdb,
}
"""Data set -> its plan."""
