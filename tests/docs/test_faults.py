"""docs/reliability.md says what happens, and nothing else."""

import pytest

from docs.faults import FAULTS, FUZZ, PAGE, Fault, fuzz_row, outcome, photo

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
    """Other versions of the decoders read a few files more, or fewer."""
    row = fuzz_row(fuzz)
    assert row.endswith(" 0 |"), "every refusal is one line that names the file"
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    [said] = [line for line in lines if line.startswith(f"| {fuzz.name} |")]
    for here, there in zip(numbers(row), numbers(said), strict=True):
        assert abs(here - there) <= 0.05 * fuzz.count, "run `python -m docs.faults`"


def numbers(row: str) -> list[int]:
    return [int(cell.replace(",", "")) for cell in row.split("|")[2:-1]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_heavy_faults_and_files():
    text = PAGE.read_text(encoding="utf-8")
    for fault in [f for faults in FAULTS.values() for f in faults if f.heavy]:
        assert f"| {fault.name} | {outcome(fault)} |" in text
    for fuzz in [fuzz for fuzz in FUZZ if fuzz.heavy]:
        assert fuzz_row(fuzz).endswith(" 0 |")
