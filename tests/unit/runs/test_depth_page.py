"""The tables of the page on depth are what its commands print.

Set UPDATE_DOCS=1 to write them anew.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "depth.md"
CONSOLE = re.compile(r"```console\n\$ fathom (?P<arguments>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)


def printed(arguments: str) -> str:
    result = CliRunner().invoke(app, shlex.split(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout.rstrip("\n") + "\n"


@pytest.mark.skipif(not PAGE.is_file(), reason="installed without the documentation")
def test_every_table_is_what_its_command_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = list(CONSOLE.finditer(text))
    assert len(found) == 3
    if os.environ.get("UPDATE_DOCS"):
        for match in found:
            arguments = match["arguments"]
            fresh = f"```console\n$ fathom {arguments}\n{printed(arguments)}```"
            text = text.replace(match.group(), fresh)
        PAGE.write_text(text, encoding="utf-8")
        return
    for match in found:
        assert match["output"] == printed(match["arguments"])
