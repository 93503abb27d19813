"""The commands that the documentation shows, run as its reader would run them."""

import os
import re
import sys
from pathlib import Path

import commands
from commands import ROOT
from service_process import elsewhere


def blocks(page: str) -> list[str]:
    """Return the blocks of shell and Python code of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```(?:sh|python)\n(.*?)```", text, re.DOTALL)


def block(page: str, *words: str) -> str:
    """Return the only block that contains all of `words`."""
    found = [text for text in blocks(page) if all(word in text for word in words)]
    assert len(found) == 1, f"{words}: {len(found)} blocks"
    return found[0]


def environment(folder: Path) -> dict[str, str]:
    return elsewhere() | {
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",  # the reader activated it
        "PYTHONPATH": str(ROOT),
        "HALFTONE_CACHE": str(folder / "cache"),
        "HALFTONE_DEADLINE_MS": "60000",  # the machine may be busy with other things
    }


def run(script: str, folder: Path) -> str:
    """Run a script in `folder`; return what it printed."""
    shell = "sh", "-euc", script
    done = commands.run(*shell, cwd=folder, whole_env=environment(folder), timeout=900)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
