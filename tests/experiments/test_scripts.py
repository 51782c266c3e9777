"""Every script of experiments/ and benchmarks/ says how to run it, and can be run."""

from importlib import import_module

import pytest
from conftest import ROOT

HELPERS = {
    f"benchmarks.{name}"
    for name in (
        "chromium",
        "contenders",
        "curves",
        "machine",
        "summary",
        "torch_models",
    )
}
"""What others import, and nobody runs."""

SCRIPTS = {
    f"{folder}.{path.stem}"
    for folder in ("experiments", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
} - HELPERS


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_explains_itself(name, monkeypatch, capsys):
    script = import_module(name)
    command = f"python -m {name}"
    assert command in script.__doc__
    readme = (ROOT / name.split(".")[0] / "README.md").read_text()
    assert f"| `{command}` |" in readme
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 0 and "usage:" in capsys.readouterr().out
