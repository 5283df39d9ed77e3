from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.official import AnnotationError
from benchmarks.something_something import V1, V2, SomethingSomething, mirror_name, mirrored_pairs

BOTH = pytest.mark.parametrize("data", [V1, V2], ids=["v1", "v2"])
PREFIXES = {1: "something-something-v1-", 2: "something-something-v2-"}
ROWS = {
    "train": [("100218", "Holding something next to something"), ("7", "Tearing something into two pieces")],
    "validation": [("12", "Putting something, something and something on the table")],
}


def write(root: Path, data: SomethingSomething, prefix: str | None = None, folder: str = "") -> None:
    """The annotation files of ROWS, as they are handed out."""
    start = PREFIXES[data.version] if prefix is None else prefix
    into = root / folder
    into.mkdir(parents=True, exist_ok=True)
    if data.version == 1:
        (into / f"{start}labels.csv").write_text("".join(f"{name}\n" for name in data.classes()))
        for what, rows in ROWS.items():
            (into / f"{start}{what}.csv").write_text("".join(f"{i};{name}\n" for i, name in rows))
        return
    numbers = {name: str(i) for i, name in enumerate(data.classes())}
    # the order of the file is not that of the numbers
    (into / f"{start}labels.json").write_text(json.dumps(dict(sorted(numbers.items(), key=lambda x: x[0][::-1]))))
    for what, rows in ROWS.items():
        plain = [
            {
                "id": i,
                "label": "holding a cup",
                "template": name.replace("something", "[something]"),
                "placeholders": ["a cup"],
            }
            for i, name in rows
        ]
        (into / f"{start}{what}.json").write_text(json.dumps(plain))


def label_file(root: Path, data: SomethingSomething, what: str) -> Path:
    return root / f"{PREFIXES[data.version]}{what}.{'csv' if data.version == 1 else 'json'}"


@BOTH
@pytest.mark.parametrize("prefix", [None, ""], ids=["prefix", "bare"])
@pytest.mark.parametrize("folder", ["", "annotations", "labels"])
def test_lists_are_read_under_both_names(
    tmp_path: Path, data: SomethingSomething, prefix: str | None, folder: str
) -> None:
    write(tmp_path, data, prefix, folder)
    listing = data.listing(tmp_path, "val")
    classes = data.classes()
    assert [(v.video_id, classes[v.label]) for v in listing.subset("train")] == ROWS["train"]
    assert [(v.video_id, classes[v.label]) for v in listing.subset("test")] == ROWS["validation"]
    assert len(listing.annotations) == 3 and listing.classes == classes


def test_the_same_class_has_its_own_number_in_each_version(tmp_path: Path) -> None:
    labels = []
    for data in (V1, V2):
        write(tmp_path / data.name, data)
        labels.append(data.listing(tmp_path / data.name, "val").videos[0].label)
    assert labels == [V1.classes().index(ROWS["train"][0][1]), V2.classes().index(ROWS["train"][0][1])]
    assert labels[0] != labels[1]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (V1, "20bn-something-something-v1/100218"),
        (V1, "rawframes/100218"),
        (V1, "100218"),
        (V2, "20bn-something-something-v2/100218.webm"),
        (V2, "videos/100218.webm"),
        (V2, "100218.webm"),
    ],
    ids=str,
)
def test_videos_are_found_in_every_layout(tmp_path: Path, data: SomethingSomething, place: str) -> None:
    write(tmp_path, data)
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if data.frame_folders else path.touch()
    places = data.listing(tmp_path, "val").videos[0].places
    assert [other for other in places if (tmp_path / other).exists()] == [place]


def test_packed_frames_count_as_their_folder(tmp_path: Path) -> None:
    write(tmp_path, V1)
    (tmp_path / "rawframes.shards").mkdir()
    assert V1.listing(tmp_path, "val").videos[0].places == ("rawframes/100218",)


def test_only_v1_is_folders_of_frames() -> None:
    assert (V1.frame_folders, V2.frame_folders) == (True, False)


@BOTH
def test_the_mirror_map_is_an_involution_over_every_left_and_right_class(data: SomethingSomething) -> None:
    assert data.directed
    mirror = {a: b for pair in data.mirrored for a, b in (pair, pair[::-1])}
    assert len(mirror) == 6 and len(data.mirrored) == 3
    for name, other in mirror.items():
        assert mirror[other] == name != other and mirror_name(name) == other
    sided = {name for name in data.classes() if {"left", "right"} & set(name.replace(",", " ").split())}
    # "right out" is not a side: its mirror image is of the same class
    assert sided - set(mirror) == {"Plugging something into something but pulling it right out as you remove your hand"}
    numbers = {name: label for label, name in enumerate(data.classes())}
    published = {1: {(2, 4), (30, 41), (52, 66)}, 2: {(86, 87), (93, 94), (166, 167)}}
    assert {tuple(sorted((numbers[a], numbers[b]))) for a, b in data.mirrored} == published[data.version]


def test_upright_has_no_side() -> None:
    assert mirror_name("Putting something upright on the table") == "Putting something upright on the table"
    assert mirrored_pairs(["go right", "go left", "turn left", "stand upright", "copyleft"]) == (
        ("go left", "go right"),
    )


@BOTH
def test_classes_in_another_order_are_refused(tmp_path: Path, data: SomethingSomething) -> None:
    write(tmp_path, data)
    path = label_file(tmp_path, data, "labels")
    if data.version == 1:
        path.write_text("\n".join(sorted(data.classes())))
    else:
        path.write_text(json.dumps({name: i for i, name in enumerate(V1.classes())}))
    with pytest.raises(AnnotationError, match="labels.*class 0 .*the same classes in another order"):
        data.listing(tmp_path, "val")
    path.write_text("Holding something\n" if data.version == 1 else '{"Holding something": "0"}')
    with pytest.raises(AnnotationError, match="1 classes in place of 174"):
        data.listing(tmp_path, "val")


def test_numbers_that_count_nothing_are_refused(tmp_path: Path) -> None:
    write(tmp_path, V2)
    path = label_file(tmp_path, V2, "labels")
    numbers = {name: i + 1 for i, name in enumerate(V2.classes())}
    path.write_text(json.dumps(numbers))
    with pytest.raises(AnnotationError, match="not 0 to 173, each once"):
        V2.listing(tmp_path, "val")
    path.write_text(json.dumps(numbers | {V2.classes()[0]: "first"}))
    with pytest.raises(AnnotationError, match="has number 'first'"):
        V2.listing(tmp_path, "val")


@pytest.mark.parametrize(("text", "words"), [("[", "not JSON"), ("{}", "holds dict, not a list"), ("[]", "no train")])
def test_a_broken_list_is_refused(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, V2)
    label_file(tmp_path, V2, "train").write_text(text)
    with pytest.raises(AnnotationError, match=words):
        V2.listing(tmp_path, "val")


@BOTH
def test_every_problem_of_a_list_is_told_at_once(tmp_path: Path, data: SomethingSomething) -> None:
    write(tmp_path, data)
    path = label_file(tmp_path, data, "validation")
    rows = [("x1", "Holding something"), ("5", ""), ("6", "Juggling something"), ("7", "Holding something")]
    if data.version == 1:
        path.write_text("".join(f"{i};{name}\n" if name else f"{i}\n" for i, name in rows))
        places = [f"{path}:{i}: " for i in range(1, 5)]
    else:
        plain = [{"id": i, "template": name} if name else {"id": i} for i, name in rows]
        path.write_text(json.dumps([*plain, "8"]))
        places = [f"{path}: entry {i}: " for i in range(1, 6)]
    with pytest.raises(AnnotationError) as caught:
        data.listing(tmp_path, "val")
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path}: {len(places)} problems"
    words = [
        "'x1' is no id",
        "test list, whose labels were never handed out",
        "unknown class 'Juggling",
        "twice, first",
    ]
    for line, place, word in zip(lines, places, [*words, "'' is no id"], strict=False):
        assert line.startswith(place) and word in line


def test_a_carriage_return_and_quotes_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path, V1)
    for what in ("labels", "train"):
        path = label_file(tmp_path, V1, what)
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    label_file(tmp_path, V1, "validation").write_text('12;"Holding something"')
    assert V1.listing(tmp_path, "val").subset("test")[0].label == 0
