from tgr_cli.commands.tables import latex, markdown

COLUMNS = ["candidate", "gain (%)", "last layer (×)", "verdict"]
ROWS = [
    ["net_a|*b*", "-1.50", "~2.10 (1.90 to 2.50)", "better"],
    ["50%-{x}^2 & #1\\", "+0.25", "-", "not distinguishable"],
]


def test_markdown_is_aligned_and_escapes_what_it_would_read_as_its_own():
    assert markdown(COLUMNS, ROWS) == (
        "| candidate        | gain (%) |        last layer (×) | verdict             |\n"
        "| ---------------- | -------: | --------------------: | ------------------- |\n"
        "| net\\_a\\|\\*b\\*    |    -1.50 | \\~2.10 (1.90 to 2.50) | better              |\n"
        "| 50%-{x}^2 & #1\\\\ |    +0.25 |                     - | not distinguishable |\n"
    )


def test_a_cell_stays_in_its_line_and_tells_a_terminal_nothing():
    rows = [["net\n\x1b[31mred", "1"]]
    assert markdown(["name", "n"], rows).splitlines()[2] == "| net \\\\x1b\\[31mred |   1 |"
    assert latex(["name", "n"], rows).splitlines()[4] == r"net \textbackslash{}x1b[31mred & 1 \\"


def test_latex_has_the_rules_of_booktabs_and_escapes_what_tex_would_read_as_its_own():
    assert latex(COLUMNS, ROWS) == (
        "\\begin{tabular}{lrrl}\n"
        "\\toprule\n"
        "candidate & gain (\\%) & last layer ($\\times$) & verdict \\\\\n"
        "\\midrule\n"
        "net\\_a$|$*b* & $-$1.50 & $\\sim$2.10 (1.90 to 2.50) & better \\\\\n"
        "50\\%-\\{x\\}\\textasciicircum{}2 \\& \\#1\\textbackslash{} & +0.25 & - & not distinguishable \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )
