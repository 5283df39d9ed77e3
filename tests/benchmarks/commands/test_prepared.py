"""What `prepare` left behind, loaded; and its ledger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.commands.layout import Layout, PrepareError
from benchmarks.commands.ledger import open_ledger, read_ledger
from benchmarks.commands.prepare import prepare
from benchmarks.commands.prepared import load_prepared, write_quarantine
from benchmarks.official import AnnotationError
from hcml.data.manifest import ManifestError
from tests.benchmarks.tree import TOY, Toy, grow, run


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


class TestLoading:
    def test_what_is_not_prepared_names_the_command(self, root: Path) -> None:
        command = f"python -m benchmarks prepare toy --root {root} --copy short256 --split 1"
        with pytest.raises(ManifestError, match=command):
            load_prepared(TOY, root, "short256", "1")
        with pytest.raises(AnnotationError, match="'9' is not a split of toy: 1, 2"):
            load_prepared(TOY, root, "h264", "9")
        with pytest.raises(AnnotationError, match="'h265' is not a copy"):
            load_prepared(TOY, root, "h265", "1")

    def test_changed_annotations_make_manifests_stale(self, root: Path) -> None:
        run(root, "original")
        (root / "list1.txt").open("a").write("train 1 wave/new.mp4\n")
        with pytest.raises(ManifestError, match=r"list1\.txt was changed after toy was prepared.*--split 1"):
            load_prepared(TOY, root, "original", "1")
        load_prepared(TOY, root, "original", "2")
        (root / "list2.txt").unlink()
        load_prepared(TOY, root, "original", "2")

    def test_quarantine_is_merged_and_other_ids_left_out(self, root: Path) -> None:
        run(root, "original")
        write_quarantine(
            Layout(root, "original").quarantine, {"b": ("catch/b.webm", 'says "no", often'), "z": ("z", "")}
        )
        data = load_prepared(TOY, root, "original", "1")
        assert data.train.quarantine == {"b": 'says "no", often'} and data.test.quarantine == {}

    def test_a_damaged_quarantine_list_is_an_error(self, root: Path) -> None:
        run(root, "original")
        path = Layout(root, "original").quarantine
        path.parent.mkdir()
        path.write_text("video_id,path,reason\nb,catch/b.webm\n")
        with pytest.raises(ManifestError, match=r"original\.csv:2: 2 cells in place of 3"):
            load_prepared(TOY, root, "original", "1")

    def test_two_data_sets_do_not_share_a_root(self, root: Path) -> None:
        run(root, "original")
        with pytest.raises(PrepareError, match="belongs to toy: give each data set a --root of its own"):
            prepare(Toy(name="other"), root, "original", processes=0)
        with pytest.raises(ManifestError, match="belongs to toy, not to other"):
            load_prepared(Toy(name="other"), root, "original", "1")


def test_a_ledger_drops_its_torn_last_line_and_refuses_other_damage(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with open_ledger(path) as ledger:
        ledger.add({"video_id": "a", "frames": 1})
    with path.open("a") as stream:
        stream.write('{"video_id": "b"')
    with open_ledger(path) as ledger:
        assert ledger.rows.keys() == {"a"}
        ledger.add({"video_id": "c"})
    assert [json.loads(line)["video_id"] for line in path.read_text().splitlines()] == ["a", "c"]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(PrepareError, match=r"l\.jsonl:1: not a row"):
        read_ledger(path)
