"""docs/what-people-bring.md says what happens, and nothing else."""

from docs.cases import CASES, PAGE, outcome, page


def test_the_page_is_what_happens():
    assert page() == PAGE.read_text(encoding="utf-8"), "run `python -m docs.cases`"


def test_a_case_can_fail():
    """A sound folder has nothing to say but its classes; a bad flag is refused."""
    [make] = [
        m for n, m, _ in CASES["The list of classes"] if n.startswith("ids before the")
    ]
    assert outcome(make, []) == "read: 0 background, 1 leaf, 2 spot"
    assert outcome(make, ["--ignore", "twig"]).startswith("refused: `ignore: 'twig'")
