"""docs/reliability.md says what happens, and nothing else."""

import pytest

from docs.faults import FAULTS, FUZZ, PAGE, Fault, fuzz_row, outcome, page, photo

LIGHT = [f for faults in FAULTS.values() for f in faults if not f.heavy]


@pytest.mark.parametrize("fault", LIGHT, ids=lambda fault: fault.name)
def test_a_fault_has_its_line(fault):
    row = f"| {fault.name} | {outcome(fault)} |"
    assert row in PAGE.read_text(encoding="utf-8"), "run `python -m docs.faults`"
    assert "defect" not in row


def test_a_defect_would_be_seen():
    """Python itself stops with a traceback here."""
    broken = Fault("no home of Python", photo, (("PYTHONHOME", "/nowhere"),))
    assert "exit code 1" in outcome(broken) or "defect" in outcome(broken)


@pytest.mark.parametrize(
    "fuzz", [fuzz for fuzz in FUZZ if not fuzz.heavy], ids=lambda fuzz: fuzz.name
)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_have_their_row(fuzz):
    row = fuzz_row(fuzz)
    assert row in PAGE.read_text(encoding="utf-8"), "run `python -m docs.faults`"
    assert row.endswith(" 0 |"), "every refusal is one line that names the file"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_whole_page():
    assert page() == PAGE.read_text(encoding="utf-8")
