"""What is typed and what is printed: one line for a slip, names that exist."""

import os
import sys
import zipfile

import pytest

from segnet_tf import commands
from segnet_tf.console import cli
from segnet_tf.errors import UserError


@pytest.mark.parametrize(
    "program, verb, expected",
    [
        ("train.py", "predict", "python predict.py"),
        ("../clone/train.py", "evaluate", "python ../clone/evaluate.py"),
        ("predict.py", "data", "python -m segnet_tf data"),
        ("/usr/bin/segnet", "train", "segnet train"),
        ("/site/segnet_tf/__main__.py", "train", "python -m segnet_tf train"),
        ("notebook", "export", "segnet export"),
    ],
)
def test_a_message_names_a_command_that_exists(monkeypatch, program, verb, expected):
    monkeypatch.setattr(sys, "argv", [program])
    assert cli.command(verb) == expected


@pytest.mark.parametrize("verb", commands.COMMANDS)
def test_help_quotes_commands_as_they_were_called(monkeypatch, capsys, verb):
    module = f"segnet_tf.commands.{verb}"
    __import__(module)
    for program, said in (("segnet", f"segnet {verb}"), ("train.py", "python ")):
        monkeypatch.setattr(sys, "argv", [program])
        with pytest.raises(SystemExit) as exit:
            sys.modules[module].main(["--help"])
        assert exit.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith(f"usage: {said}")
        assert ("segnet " + verb in text) == (program == "segnet")


def test_the_command_without_and_with_a_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["segnet"])
    commands.main()
    assert all(f"  {name}" in capsys.readouterr().out for name in ["predict"])
    monkeypatch.setattr(sys, "argv", ["segnet", "--version"])
    commands.main()
    assert capsys.readouterr().out.strip() == cli.segnet_tf.__version__
    monkeypatch.setattr(sys, "argv", ["segnet", "label", "x.png"])
    with pytest.raises(SystemExit) as exit:
        commands.main()
    assert exit.value.code == 2
    assert "no command 'label': choose from predict, train" in capsys.readouterr().err


def test_exit_codes(capsys, monkeypatch):
    monkeypatch.setattr(os, "_exit", sys.exit)

    def slip():
        raise UserError("x.png: no such file")

    def interrupt():
        raise KeyboardInterrupt

    for main, code in ((slip, 2), (interrupt, 130)):
        with pytest.raises(SystemExit) as exit:
            cli.run(main, "segnet predict")
        assert exit.value.code == code
    error = capsys.readouterr().err
    assert error.splitlines()[0] == "segnet predict: error: x.png: no such file"
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 / 0)


def test_a_clock_that_was_never_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("time.time", lambda: 1000.0)

    def save():
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            archive.writestr("labels.json", "{}")

    with pytest.raises(SystemExit) as exit:
        cli.run(save, "segnet train")
    assert exit.value.code == 2
    assert "clock is before 1980" in capsys.readouterr().err


def test_an_old_flag_names_the_new_one():
    parser = cli.parser("train", "")
    cli.add_renamed(parser, {"--light": "--color-jitter"})
    for given in (["--light"], ["--light", "0.3"], ["--light=0.3"]):
        with pytest.raises(UserError, match="^--light: is called --color-jitter now$"):
            parser.parse_args(given)
    assert "--light" not in parser.format_help()


def test_a_slip_is_one_line_without_a_page_of_usage():
    parser = cli.parser("train", "")
    parser.add_argument("--size", type=cli.parsed_size)
    for given in (["--nothing"], ["--size=3"], ["--size=0x3"], ["--size=ax3"]):
        with pytest.raises(UserError, match=r"^[^\n]+\(--help lists the options\)$"):
            parser.parse_args(given)
    assert parser.parse_args(["--size=36X48"]).size == (36, 48)
