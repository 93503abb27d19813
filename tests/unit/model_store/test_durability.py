"""What a power cut would find: everything is flushed before the name that makes it count."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from paper_bundles import paper_store, publish

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="asks /proc which file a descriptor is"
)


class Recorder:
    """Notes which paths are flushed and moved, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        fsync, rename, replace = os.fsync, os.rename, os.replace

        def noting_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.events.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))

        def noting_rename(old: Any, new: Any) -> None:
            rename(old, new)
            self.events.append(("move", f"{old} {new}"))

        def noting_replace(old: Any, new: Any) -> None:
            replace(old, new)
            self.events.append(("move", f"{old} {new}"))

        monkeypatch.setattr(os, "fsync", noting_fsync)
        monkeypatch.setattr(os, "rename", noting_rename)
        monkeypatch.setattr(os, "replace", noting_replace)

    def moves_to(self, path: Path) -> list[int]:
        return [
            place
            for place, (what, paths) in enumerate(self.events)
            if what == "move" and paths.endswith(f" {path}")
        ]


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(monkeypatch)
    publish(paper_store(tmp_path))
    return recorder


def test_every_file_and_folder_of_a_bundle_is_flushed_before_it_gets_its_number(recorder, tmp_path):
    final = tmp_path / "paper" / "1"
    (moved,) = recorder.moves_to(final)
    draft = recorder.events[moved][1].split()[0]
    flushed = {path for what, path in recorder.events[:moved] if what == "flush"}

    wanted = {str(path).replace(str(final), draft) for path in (final, *final.rglob("*"))}
    assert len(wanted) == 7
    assert wanted <= flushed
    assert ("flush", str(final.parent)) in recorder.events[moved:]


def test_the_pointer_is_flushed_before_it_counts_and_its_folder_after(recorder, tmp_path):
    pointer = tmp_path / "paper" / "current.json"
    (moved,) = recorder.moves_to(pointer)
    temporary = recorder.events[moved][1].split()[0]

    assert ("flush", temporary) in recorder.events[:moved]
    assert ("flush", str(pointer.parent)) in recorder.events[moved:]
