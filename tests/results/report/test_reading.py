"""What a reader of the report finds, in a real browser: what was found, every name whole, every run complete."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
GRID = "#grid-hierarchy_depth"
PANEL = "dialog#panel"


def test_the_overview_says_what_was_found_and_leads_to_it(visit: Any) -> None:
    page = visit()
    said = page.locator(".found dd").all_inner_texts()
    assert any("levels 1: higher" in text for text in said), said
    button = page.locator(".found button.open").first
    button.press("Enter")
    panel = page.locator(PANEL)
    assert button.inner_text() in panel.locator("h2").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.found') !== null"), "the focus returns to where it came from"
    assert "No figure of ours is judged against a published one yet" in page.locator("#overview").inner_text()


def test_differences_reach_into_the_runs_that_a_run_was_made_from(visit: Any) -> None:
    page = visit()
    row = page.locator(f"{GRID} tbody tr", has_text="progressive").first
    row.locator("button.open", has_text="[").first.click()
    table = page.locator(f"{PANEL} table.differences")
    names = table.locator("th").all_inner_texts()
    assert {"pretrain", "finetune.init", "test.model.levels"} <= set(names), names
    assert not [name for name in names if name.startswith("pretrain.") or name.endswith("seed")], names
    one = table.locator("tr", has_text="finetune.init").inner_text()
    assert "scratch 3 of 6" in one and "run 3 of 6" in one
    pairs = dict(
        zip(
            page.locator(f"{PANEL} > div > table").first.locator("th").all_inner_texts(),
            page.locator(f"{PANEL} > div > table").first.locator("td").all_inner_texts(),
            strict=True,
        )
    )
    assert pairs["runs"] == "3"
    other = page.locator(f"{PANEL} tr", has_text="compared with").inner_text()
    assert "levels 0, pretraining none" in other and "verdict" not in page.locator(PANEL).inner_text()


def test_runs_are_whole_and_in_the_order_of_their_seeds(visit: Any) -> None:
    page = visit()
    page.locator(f"{GRID} tbody tr", has_text="progressive").first.locator("button.open").first.click()
    runs = page.locator(f"{PANEL} .run")
    facts = [text for text in runs.all_inner_texts() if text.startswith("test: ")]
    assert [text.split("seed")[1].split()[0] for text in facts] == ["0", "1", "2"]
    assert all("0 of training, 0 of test" in text for text in facts)
    assert all("git checkout 0123abc\npython sweeps/run.py -m" in text for text in facts)
    assert all("levels=1 init=run" in text and "levels=1,2,3 init" not in text for text in facts)
    assert not [text for text in facts if "metrics.jsonl" in text], "a test keeps no journal: nothing is missing"
    page.locator(f"{PANEL} summary", has_text="Figures").first.click()
    assert "direction.top1" in page.locator(PANEL).inner_text(), "the tiers, too"
    page.locator(f"{PANEL} summary", has_text="Configuration").first.click()
    assert page.locator(f"{PANEL} tr", has_text="model.backbone.pretrained").first.inner_text().endswith("(empty)")


def test_columns_that_say_nothing_are_folded_away(visit: Any) -> None:
    page = visit()
    table = page.locator(GRID)
    head = table.locator("thead th", has_text="benchmark")
    tools = page.locator("#table-hierarchy_depth .tools")
    assert not head.is_visible() and "benchmark synthmotion v1" in tools.inner_text()
    assert table.locator("thead th", has_text="levels").is_visible()
    button = tools.locator("button")
    button.press("Enter")
    assert head.is_visible() and button.get_attribute("aria-pressed") == "true"
    page.locator("input[data-filter=hierarchy_depth]").fill("synthmotion")
    assert table.locator("tbody tr:not([hidden])").count() > 5, "folded columns are searched, too"
    button.press("Enter")
    assert not head.is_visible()


def test_the_lines_of_one_kind_can_be_seen_alone(visit: Any) -> None:
    page = visit()
    figure = page.locator("#curves figure", has_text="Fine-tuning: loss")
    button = figure.locator("button[data-kind]").nth(1)
    dim = "[...f.querySelectorAll('g.kind')].filter(g => Number(getComputedStyle(g).opacity) < 0.5).length"
    count = figure.locator("g.kind").count()
    assert figure.evaluate(f"f => {dim}") == 0 and count > 2
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true" and figure.evaluate(f"f => {dim}") == count - 1
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false" and figure.evaluate(f"f => {dim}") == 0


def test_the_head_of_a_long_table_stays_in_sight(visit: Any) -> None:
    page = visit(viewport={"width": 1280, "height": 700}, reduced_motion="reduce")
    box = page.locator("#grid-paper").locator("..")
    scrolled, apart = box.evaluate(
        """b => { const top = (node) => node.getBoundingClientRect().top;
        b.scrollTop = 300;
        return [b.scrollTop, top(b.querySelector("thead th")) - top(b)]; }"""
    )
    assert scrolled == 300 and abs(apart) < 2


def contrast(page: Any, selector: str) -> float:
    """The least contrast ratio (WCAG 2) of the texts that match, against the card they stand on."""
    return float(
        page.evaluate(
            """(selector) => {
            const part = (v) => (v /= 255, v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
              return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
            const card = light(getComputedStyle(document.querySelector("main section")).backgroundColor);
            return Math.min(...[...document.querySelectorAll(selector)].map((node) => {
              const style = getComputedStyle(node);
              const ink = light(node instanceof SVGElement ? style.fill : style.color);
              return (Math.max(ink, card) + 0.05) / (Math.min(ink, card) + 0.05); })); }""",
            selector,
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_both_schemes(visit: Any, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    for selector in (".note", ".caption", "td", "th", ".badge", ".plot-tick", ".plot-label", "[data-shown]", "a"):
        assert contrast(page, f"main {selector}") >= 4.5, selector


@pytest.mark.parametrize("width", [390, 1400])
def test_what_stands_behind_a_cell_fits_its_dialog(visit: Any, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    row = page.locator(f"{GRID} tbody tr", has_text="progressive").first
    row.locator("button.open", has_text="[").first.click()
    page.evaluate("document.querySelectorAll('dialog details').forEach((box) => { box.open = true; })")
    out = page.evaluate(
        """() => { const panel = document.querySelector("#panel-body"), edge = panel.getBoundingClientRect().right;
        return [panel.scrollWidth - panel.clientWidth,
          [...panel.querySelectorAll("*")].filter((node) => node.getBoundingClientRect().right > edge + 1).length]; }"""
    )
    assert out == [0, 0]


def test_pictures_are_seen_whole_on_a_small_screen(visit: Any) -> None:
    page = visit(viewport={"width": 390, "height": 900})
    strips = "[...document.querySelectorAll('details[open] .strip')]"
    assert page.evaluate(f"{strips}.length") > 0
    assert page.evaluate(f"{strips}.filter((strip) => strip.scrollWidth > strip.clientWidth).length") == 0


def test_on_paper_nothing_is_cut_or_pale(visit: Any) -> None:
    page = visit(viewport={"width": 1000, "height": 700}, color_scheme="dark")
    page.emulate_media(media="print")
    wide = "[...document.querySelectorAll('main table, main svg')].filter(n => n.getBoundingClientRect().right > 1000)"
    assert page.evaluate(f"{wide}.map(n => n.id || n.getAttribute('aria-label'))") == []
    for selector in (".note", "td", "th", ".badge", ".plot-label", "[data-shown]", "a"):
        assert contrast(page, f"main {selector}") >= 4.5, selector


def test_a_screen_reader_hears_what_everything_is(visit: Any) -> None:
    page = visit()
    bad = page.evaluate(
        """() => ({
        tables: [...document.querySelectorAll("main table")].filter((t) => !t.getAttribute("aria-label")).length,
        heads: [...document.querySelectorAll("main thead th")].filter((h) => h.scope !== "col").length,
        plots: [...document.querySelectorAll("main svg.plot")].filter((s) => !s.getAttribute("aria-label")).length,
        images: [...document.images].filter((i) => !i.alt).length,
        filters: [...document.querySelectorAll("input")].map((i) => i.getAttribute("aria-label")),
        ids: [...document.querySelectorAll("[id]")].map((n) => n.id),
        levels: [...document.querySelectorAll("h1, h2, h3, h4")].map((h) => Number(h.tagName[1])),
        })"""
    )
    assert [bad[name] for name in ("tables", "heads", "plots", "images")] == [0, 0, 0, 0]
    assert len(set(bad["filters"])) == len(bad["filters"]) and len(set(bad["ids"])) == len(bad["ids"])
    assert all(after - before <= 1 for before, after in zip(bad["levels"], bad["levels"][1:], strict=False))


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_sticks_out_of_the_page_or_of_its_section(visit: Any, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900})
    out = page.evaluate(
        """() => [...document.querySelectorAll("main section > *, .found dd, .legend button, .tools > *")]
        .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((node) => node.outerHTML.slice(0, 90))"""
    )
    assert out == [] and page.evaluate("document.documentElement.scrollWidth") <= width
