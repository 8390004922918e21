"""The command line of the mock survey."""

from pathlib import Path

import pytest

from kidsclf.mock.__main__ import main


def test_command_writes_a_survey_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([str(tmp_path / "out"), "--catalogue-only", "2000", "--workers", "1"])
    assert status == 0
    assert "rows in 1 catalogues" in capsys.readouterr().out
    assert (tmp_path / "out" / "labels" / "gaia-mock.fits").exists()


def test_command_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "out"), "--area", "1000"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
