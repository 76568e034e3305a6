import re

import pytest

from tgr_cli.report.figure import Panel, Table
from tgr_cli.report.plotting import middle, png, svg


def _draw(axes, colours) -> None:
    axes.plot([0, 0.123456], [1, 2], color=colours.sdc, marker="o", label="<b>&amp;</b> $x$ --> 0.123456")
    axes.plot([0, 1], [1, 2], color=colours.model_1, label="other")


PANEL = Panel("key", _draw, "title")


def test_an_svg_follows_the_page_in_colour_and_font() -> None:
    drawn = svg(PANEL, "p0", 'a "label"')
    assert "var(--sdc)" in drawn
    assert "var(--model-1)" in drawn
    assert "#fe" not in drawn
    assert "DejaVu" not in drawn
    assert "var(--font)" in drawn
    assert drawn.startswith('<svg role="img" aria-label="a &#34;label&#34;"')
    assert "http" not in drawn


def test_text_stays_text_to_the_last_digit() -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg(PANEL, "p0", ""))
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt; $x$ --&gt; 0.123456" in texts


def test_identifiers_of_two_panels_do_not_clash_and_all_are_defined() -> None:
    first, second = (svg(PANEL, prefix, "") for prefix in ("p0", "p1"))
    ids = [re.findall(r' id="([^"]*)"', drawn) for drawn in (first, second)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', first))
    assert used == set(ids[0])


def test_the_same_panel_gives_the_same_bytes() -> None:
    assert svg(PANEL, "p0", "") == svg(PANEL, "p0", "")
    assert png(PANEL) == png(PANEL)
    assert png(PANEL).startswith(b"\x89PNG")


@pytest.mark.parametrize(("text", "short"), [("abc", "abc"), ("abcdefgh", "ab…gh")])
def test_long_names_lose_their_middle(text: str, short: str) -> None:
    assert middle(text, 5) == short


def test_a_table_keeps_every_digit() -> None:
    assert Table(("a", "b"), [(0.1 + 0.2, None), ("x,y", 1)]).csv() == 'a,b\n0.30000000000000004,\n"x,y",1\n'


def test_a_line_without_points_leaves_the_plot_its_room() -> None:
    def with_an_empty_line(axes, colours) -> None:
        _draw(axes, colours)
        axes.plot([], [], "<", clip_on=False)

    frames = [
        re.findall(r'd="M ([^"]*)"', svg(Panel("key", draw, height=800), "p0", ""))[1]
        for draw in (_draw, with_an_empty_line)
    ]
    assert frames[0] == frames[1]
