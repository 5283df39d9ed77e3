"""Adding a figure: it fills its slot, changes nothing else, and never overwrites unasked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.record import write_text
from results.reference import ReferenceError, __main__, load
from results.reference.add import Refused, add_cell, add_row, key_of_row
from results.reference.files import parse
from tests.results.reference.samples import FILLED, HEAD, SLOT, make_cell, make_row

Command = Callable[..., tuple[int, str, str]]
AXES = ("--benchmark=sthv1", "--backbone=resnet50", "--levels=3", "--pretraining=progressive")
PLACE = ("--arxiv=2007.10321v3", "--table=Table 0", "--row=a row", "--column=b")
ROW = ("--published", "--method=TSM", "--benchmark=ucf101", "--backbone=ResNet-50", "--value=2.50", "--repo=a/b")
ROW += ("--path=R.md", f"--commit={'a' * 40}", "--line=3", "--reported-by=authors")


def test_a_slot_is_filled_and_nothing_else_changes(folder: Path, command: Command) -> None:
    code, out, _ = command("add", *AXES, *PLACE, "--value=0.50", "--frames=8", "--protocol=1 clip")
    assert code == 0
    assert out.splitlines() == [
        "hcml.yaml: sthv1-resnet50-levels3-progressive-top1",
        "  was     not transcribed",
        "  now     0.50",
        '  source  arXiv 2007.10321v3, Table 0, row "a row", column "b"',
    ]
    expected = (HEAD + SLOT + FILLED).replace("{}  # none", '{frames: "8", protocol: 1 clip}  # none', 1)
    for old, new in (
        ('arxiv: ""', 'arxiv: "2007.10321v3"'),
        ('table: ""', 'table: "Table 0"'),
        ("row: ''", 'row: "a row"'),
    ):
        expected = expected.replace(old, new, 1)
    expected = expected.replace('column: ""', 'column: "b"', 1).replace('text: ""', 'text: "0.50"', 1)
    written = (folder / "hcml.yaml").read_text()
    assert written.replace("'", '"') == expected.replace("null", "0.5", 1)
    cell = load(folder).paper[0]
    assert (cell.value, cell.text, cell.conditions) == (0.5, "0.50", {"frames": "8", "protocol": "1 clip"})


def test_a_decoder_goes_with_a_figure(folder: Path, command: Command) -> None:
    for arguments in ((*AXES, *PLACE, "--value=0.50"), ROW):
        assert command("add", *arguments, "--decoder=PyAV")[0] == 0
    references = load(folder)
    assert references.paper[0].conditions == {"decoder": "PyAV"} and references.published[-1].decoder == "PyAV"
    for printed in (references.paper[0].published(), references.published[-1].published()):
        assert printed is not None and dict(printed.conditions)["decoder"] == "PyAV"
    assert "decoder" not in dict(references.published[0].published().conditions)


def test_a_slot_is_named_by_its_key(folder: Path, command: Command) -> None:
    key = "sthv1-resnet50-levels3-progressive-top1"
    assert command("add", f"--key={key}", *PLACE, "--value=0.50")[0] == 0
    assert load(folder).paper[0].text == "0.50"
    code, _, err = command("add", "--key=nobody", *PLACE, "--value=0.50")
    assert code == 1 and "there is no cell nobody" in err
    code, _, err = command("add", f"--key={key}", *AXES[:2], "--levels=2", "--pretraining=none", *PLACE, "--value=1")
    assert code == 1 and "give either alone" in err
    code, _, err = command("add", f"--key={key}", "--levels=2", *PLACE, "--value=1")
    assert code == 2 and "--key says which cell it is" in err


def test_the_same_again_changes_nothing(folder: Path, command: Command) -> None:
    for arguments in ((*AXES, *PLACE, "--value=0.50"), ROW):
        assert command("add", *arguments)[0] == 0
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        code, out, _ = command("add", *arguments)
        assert code == 0 and "nothing to do" in out
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("other", [("--value=0.51",), ("--value=0.5",), ("--value=0.50", "--table=Table 9")])
def test_another_figure_or_source_is_refused(folder: Path, command: Command, other: tuple[str, ...]) -> None:
    command("add", *AXES, *PLACE, "--value=0.50")
    before = (folder / "hcml.yaml").read_text()
    code, out, err = command("add", *AXES, *PLACE, *other)
    assert (code, out) == (1, "") and "holds 0.50" in err and "--replace overwrites it" in err
    assert (folder / "hcml.yaml").read_text() == before
    code, out, _ = command("add", *AXES, *PLACE, *other, "--replace")
    assert code == 0 and "  was     0.50\n" in out
    cell = load(folder).paper[0]
    assert (f"--value={cell.text}", f"--table={cell.table}") == (
        other[0],
        other[-1] if other[1:] else "--table=Table 0",
    )


def test_a_figure_without_a_slot_gets_a_new_cell(folder: Path, command: Command) -> None:
    axes = ("--benchmark=hmdb51", "--backbone=resnet101", "--levels=0", "--setting=linear", "--split=mean(1,2,3)")
    code, out, _ = command("add", *axes, *PLACE, "--value=3")
    assert code == 0 and out.startswith(
        "hcml.yaml: hmdb51-resnet101-levels0-none-mean-1-2-3-linear-top1\n  now     3\n"
    )
    assert (folder / "hcml.yaml").read_text().startswith(HEAD + SLOT + FILLED)
    cell = load(folder).paper[-1]
    expected = dict(benchmark="hmdb51", backbone="resnet101", levels=0, pretraining="none", setting="linear")
    assert cell.ours == expected | {"split": "mean(1,2,3)", "metric": "top1"}


@pytest.mark.parametrize("text", ["cells: []", "cells: []\n# end\n", "cells:\n  []\n", "# a\ncells: [ ] # b\n"])
def test_the_first_cell_of_all(texts: dict[str, str], text: str) -> None:
    added = add_cell(texts | {"hcml.yaml": text}, make_cell())
    assert parse({"hcml.yaml": added.text})[0].paper == [added.after]
    assert re.findall("#.*", added.text) == re.findall("#.*", text)


@pytest.mark.parametrize(
    "text",
    [
        "cells: [{}]\n".replace(
            "{}",
            "{key: a, ours: {benchmark: sthv1, backbone: b, levels: 0, metric: top1}, "
            'conditions: {}, arxiv: "", table: "", row: "", column: "", text: "", value: null}',
        ),
        "---\n" + HEAD + SLOT + "...\n",
    ],
)
def test_a_file_that_cannot_be_appended_to_is_left_alone(texts: dict[str, str], text: str) -> None:
    assert not parse({"hcml.yaml": text})[1]
    with pytest.raises(Refused, match="by hand"):
        add_cell(texts | {"hcml.yaml": text}, make_cell(key=""))


@pytest.mark.parametrize(("anchor", "alias"), [("&a ''", "*a"), ("&a {}", "*a")])
@pytest.mark.parametrize("slot", [3, 2])
def test_cells_that_share_a_value_are_left_alone(texts: dict[str, str], anchor: str, alias: str, slot: int) -> None:
    old = "row: ''" if "'" in anchor else "conditions: {}"
    name = old.partition(":")[0]
    other = SLOT.replace("levels: 3", "levels: 2").replace("levels3", "levels2").replace(old, f"{name}: {alias}")
    text = HEAD + SLOT.replace(old, f"{name}: {anchor}") + other
    assert not parse({"hcml.yaml": text})[1]
    with pytest.raises(Refused, match="by hand"):
        add_cell(texts | {"hcml.yaml": text}, make_cell(key=f"sthv1-resnet50-levels{slot}-progressive-top1", ours={}))


def test_a_list_that_is_indented_is_appended_to(texts: dict[str, str]) -> None:
    indented = "cells:\n" + "".join("  " + line for line in SLOT.splitlines(keepends=True)).replace("  \n", "\n")
    added = add_cell(texts | {"hcml.yaml": indented.rstrip("\n")}, make_cell())
    assert added.text.startswith(indented.rstrip("\n")) and len(parse({"hcml.yaml": added.text})[0].paper) == 2


def test_problems_are_named_before_anything_is_written(folder: Path, command: Command) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, _, err = command("add", *AXES, "--arxiv=2007.10321", "--table=a\nb", "--value=4,2")
    assert code == 1 and err.startswith("5 problems in what was given:\n")
    for word in ("arxiv is", "table has U+000A", "text is '4,2'", "row is empty", "column is empty"):
        assert word in err, err
    code, _, err = command("add", *ROW, "--commit=main", "--metric=r1", "--ours=levels")
    assert code == 1 and all(word in err for word in ("source_commit is 'main'", "metric is 'r1'", "ours has the part"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_is_added_to_files_with_problems(folder: Path, command: Command) -> None:
    (folder / "published.csv").write_text((folder / "published.csv").read_text().replace("sthv1", "sthv3"))
    for arguments in ((*AXES, *PLACE, "--value=0.50"), ROW):
        code, _, err = command("add", *arguments)
        assert code == 1 and "published.csv:2 (a-row): benchmark is 'sthv3'" in err
    assert load_paper(folder) == HEAD + SLOT + FILLED


def load_paper(folder: Path) -> str:
    return (folder / "hcml.yaml").read_text()


def test_a_place_that_prints_another_figure_is_refused(texts: dict[str, str]) -> None:
    other = make_cell(key="", ours=make_cell()["ours"] | {"levels": 2}, text="1.6", value=1.6)
    with pytest.raises(ReferenceError, match="prints 1.6, but ucf101-.* says 1.50"):
        add_cell(texts, other)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--value=1",), "--benchmark, --backbone, --levels missing"),
        ((*AXES[:3], "--value=1"), "--pretraining is missing"),
        ((*AXES, *PLACE), "--value is missing"),
        ((*AXES, *PLACE, "--value=1", "--method=TSM"), "--method does not go with a figure of the paper"),
        ((*ROW, "--arxiv=2007.10321v1", "--levels=1"), "--levels, --arxiv do not go with --published"),
        (("--val=1",), "unrecognized arguments: --val=1"),
    ],
)
def test_options_that_do_not_fit_together(command: Command, arguments: tuple[str, ...], word: str) -> None:
    code, _, err = command("add", *arguments)
    assert code == 2 and word in err


def test_a_published_row_is_added_and_replaced(folder: Path, command: Command) -> None:
    before = (folder / "published.csv").read_text()
    code, out, _ = command("add", *ROW, "--ours=backbone=resnet50; levels=0; temporal=shift (not causal)")
    assert code == 0 and "published.csv: ucf101-tsm-resnet-50-b-3\n  now     2.50\n" in out
    assert (folder / "published.csv").read_text().startswith(before)
    row = load(folder).published[-1]
    assert (row.value, row.text, row.metric, row.setting) == (2.5, "2.50", "top1", "supervised")
    assert row.ours == {"backbone": "resnet50", "levels": 0, "temporal": "shift (not causal)"}
    code, _, err = command("add", *ROW, "--value=2.51")
    assert code == 1 and "text '2.50', not '2.51'" in err and load(folder).published[-1] == row
    assert command("add", *ROW, "--value=2.51", "--replace")[0] == 0
    assert load(folder).published[-1].text == "2.51" and len(load(folder).published) == 2
    assert command("add", *ROW, "--value=2.51", "--setting=retrieval")[0] == 0
    assert load(folder).published[-1].metric == "r1"


def test_two_figures_of_one_line_have_two_keys(texts: dict[str, str]) -> None:
    first = add_row(texts, make_row(key="", protocol="1 crop"))
    second = add_row(texts | {first.file: first.text}, make_row(key="", protocol="3 crops"))
    assert (first.key, second.key) == ("sthv1-tsn-resnet-50-8-name-7", "sthv1-tsn-resnet-50-8-name-7-2")
    with pytest.raises(Refused, match="key 'a-row', not 'another'"):
        add_row(texts, make_row(key="another", text="1.6", value="1.6"))


def test_a_key_is_made_of_any_names() -> None:
    strange = make_row(method="Ü" * 300 + "x" * 300, backbone="../..", frames="-")
    assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,119}", key_of_row(strange, ()))


def test_what_somebody_else_wrote_meanwhile_is_not_lost(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        added = add_cell(*arguments)
        write_text(folder / "hcml.yaml", "# theirs\n" + HEAD + SLOT + FILLED)
        return added

    monkeypatch.setattr(__main__, "add_cell", slow)
    code, _, err = command("add", *AXES, *PLACE, "--value=0.50")
    assert code == 1 and "changed by somebody else" in err and load_paper(folder).startswith("# theirs")


def test_a_folder_that_cannot_be_written_is_named(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(__main__, "write_text", full)
    code, out, err = command("add", *AXES, *PLACE, "--value=0.50")
    assert (code, out) == (1, "") and "cannot write" in err and "No space left" in err


ANY = (
    st.text(max_size=30)
    | st.text("\"'#:{}[]&*!|>%@`,-?\\ \t\n\x85\u2028\ufeff", max_size=12)
    | st.from_regex(r"[-~]?[0-9._:eExo]{1,8}")
)
SEEN = ANY.map(lambda text: "".join(filter(str.isprintable, text)).strip() or "x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(table=SEEN, row=SEEN, column=SEEN, note=SEEN)
def test_texts_of_any_kind_come_back_as_they_were_given(
    texts: dict[str, str], table: str, row: str, column: str, note: str
) -> None:
    cell = make_cell(key="", table=table, row=row, column=column, conditions={"note": note}, text="0.5", value=0.5)
    for ours in (yaml.safe_load(SLOT)[0]["ours"], cell["ours"] | {"levels": 1}):
        added = add_cell(texts, cell | {"ours": ours})
        (found,) = [found for found in parse({"hcml.yaml": added.text})[0].paper if found.key == added.key]
        assert (found.table, found.row, found.column, found.conditions) == (table, row, column, {"note": note})
        assert added.text.count("\n") in ((HEAD + SLOT + FILLED).count("\n"), (HEAD + SLOT + FILLED).count("\n") + 10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(name=ANY, changed=st.sampled_from(["method", "note", "protocol", "paper_title", "frames"]))
def test_a_row_is_refused_or_comes_back_as_it_was_given(texts: dict[str, str], name: str, changed: str) -> None:
    row = make_row(key="new", source_line="8", **{changed: name})
    try:
        added = add_row(texts, row)
    except ReferenceError:
        assert not name.isprintable() or name != name.strip() or (changed == "method" and not name)
    else:
        assert getattr(added.after, changed) == name
        assert added.text.startswith(texts["published.csv"])
