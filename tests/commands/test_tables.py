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
