"""The report in a real browser, without a network."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
GRID = "#grid-hierarchy_depth"


def column(page: Any, name: str) -> list[str]:
    place = page.locator(f"{GRID} thead th").all_inner_texts().index(name)
    return page.locator(f"{GRID} tbody tr:not([hidden]) td:nth-child({place + 1})").all_inner_texts()


def test_sorting_by_mouse_and_by_keyboard(visit: Any) -> None:
    page = visit()
    before = column(page, "top-1")
    head = page.locator(f"{GRID} thead th", has_text="top-1")
    head.locator("button").click()
    numbers = [float(text.split()[0]) for text in column(page, "top-1") if text[0].isdigit()]
    assert numbers == sorted(numbers) and head.get_attribute("aria-sort") == "ascending"
    assert column(page, "top-1")[-1] == "missing", "what is missing comes last"
    head.locator("button").press("Enter")
    numbers = [float(text.split()[0]) for text in column(page, "top-1") if text[0].isdigit()]
    assert numbers == sorted(numbers, reverse=True) and head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert column(page, "top-1") == before and head.get_attribute("aria-sort") is None


def test_filtering(visit: Any) -> None:
    page = visit()
    box = page.locator("input[data-filter=hierarchy_depth]")
    box.fill("Progressive resnet18")
    assert set(column(page, "pretraining")) == {"progressive"} and set(column(page, "backbone")) == {"resnet18"}
    shown = len(column(page, "top-1"))
    assert page.locator("[data-count=hierarchy_depth]").inner_text().startswith(f"{shown} of ")
    box.fill("no such row")
    assert column(page, "top-1") == []
    box.fill("")
    assert len(column(page, "top-1")) > shown


def test_behind_a_cell_by_mouse_and_by_keyboard(visit: Any) -> None:
    page = visit()
    button = page.locator(f"{GRID} tbody tr", has_text="progressive").first.locator("button.open").first
    button.click()
    panel = page.locator("dialog#panel")
    assert panel.is_visible() and button.inner_text() in panel.locator("h2").inner_text()
    text = panel.inner_text()
    assert "3 runs behind it; configurations differ in nothing but the seed" in text
    assert text.count("Made by") == 9 and "sweeps/run.py" in text and "Made from" in text
    panel.locator("summary", has_text="Curves").first.click()
    assert panel.locator("svg").first.is_visible()
    panel.locator("summary", has_text="Configuration").first.click()
    assert "model.levels" in panel.inner_text()
    assert "#cell=hierarchy_depth-" in page.url
    page.keyboard.press("Escape")
    assert not panel.is_visible() and "#cell" not in page.url
    assert page.evaluate("document.activeElement.dataset.cell") == button.get_attribute("data-cell")
    button.press("Enter")
    assert panel.is_visible()
    panel.locator("#close").click()
    assert not panel.is_visible()


def test_a_missing_cell_says_what_to_type(visit: Any) -> None:
    page = visit()
    page.locator(f"{GRID} button.open", has_text="missing").first.click()
    assert "python sweeps/run.py -m experiment=hierarchy" in page.locator("dialog pre").inner_text()


def test_a_link_opens_a_cell_and_a_wrong_one_nothing(visit: Any) -> None:
    page = visit("#cell=hierarchy_depth-0-5")
    assert page.locator("dialog#panel").is_visible()
    assert not visit("#cell=__proto__").locator("dialog#panel").is_visible()
    assert not visit("#cell=%E0%A4%A").locator("dialog#panel").is_visible()


def test_labels_never_become_markup(visit: Any) -> None:
    page = visit()
    page.locator(f"{GRID} tbody tr", has_text="resnet50").locator("td.measured button.open").first.click()
    page.locator("dialog summary", has_text="Environment").first.click()
    assert "<script>window.hit=1</script>" in page.locator("dialog").inner_text()
    assert "1 of test: <script>window.hit=1</script>" in page.locator("dialog").inner_text()
    assert page.evaluate("window.hit") is None
    assert page.locator("dialog img, dialog script").count() == 0


def test_dark_and_light(visit: Any) -> None:
    def background(page: Any) -> list[int]:
        text = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]]

    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    assert min(background(light)) > 200 and max(background(dark)) < 60
    for page in (light, dark):
        page.locator("#theme").click()
    assert max(background(light)) < 60 and min(background(dark)) > 200


@pytest.mark.parametrize("width", [400, 1280])
def test_wide_tables_scroll_in_their_box_not_the_page(visit: Any, width: int) -> None:
    page = visit(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 400:
        assert page.evaluate(f"document.querySelector('{GRID}').parentElement.scrollWidth") > width


def test_everything_can_be_reached_with_a_keyboard(visit: Any) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    names = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        names.add(page.evaluate("document.activeElement.tagName"))
    assert names >= {"BUTTON", "A"}
    unnamed = page.evaluate("[...document.querySelectorAll('main button')].filter(b => !b.textContent.trim()).length")
    assert unnamed == 0
