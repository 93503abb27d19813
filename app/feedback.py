"""Pictures whose answer was wrong, kept under their right label for the next training.

    feedback/parts/ok/3f2a….png     model, label, digest of the content
    feedback/.lock                  held while anything changes
    feedback/.bytes                 how many are kept, counted by all workers together

A model's folder is laid out as `training fit --also` reads it. Nothing is written outside of it:
models and labels are those that serve, and files are named after their content.
"""

import hashlib
import time
from pathlib import Path

from app.errors import FeedbackFull, InvalidParameter, InvalidSetting
from model_store.errors import StoreUnwritable
from model_store.manifest import check_name
from model_store.pixels.formats import extension_of
from model_store.sources.files import files_below, is_junk
from model_store.store.durable import exclusive, explaining_errors, make_folder, write_atomically
from model_store.store.staging import LOCK_FILE

# A full folder may have been emptied by hand; looking takes long, and anybody can have us look.
_RECOUNT_SECONDS = 60.0
_BYTES_FILE = ".bytes"
_LONGEST_NAME = 255  # bytes, of any file system
_DIGEST_DIGITS = 32


class FeedbackFolder:
    """A folder of corrected pictures, of at most so many bytes.

    Args:
        folder: created where it is missing.
        max_bytes: of all pictures, those included that lie there already.

    Raises:
        InvalidSetting: it cannot be written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        try:
            with explaining_errors(f"write to {folder}"):
                make_folder(folder)
                with exclusive(folder / LOCK_FILE):
                    self._note(self._count())
        except StoreUnwritable as error:
            raise InvalidSetting(f"HALFTONE_FEEDBACK: {error}") from error

    def keep(self, model: str, label: str, data: bytes) -> str:
        """Store an encoded image under a label; under any other, the same image is removed.

        Slow; not for the event loop's thread.

        Args:
            model: name of the model that answered.
            label: one of its labels.
            data: an image that it can decode.

        Returns:
            The file's path below the folder.

        Raises:
            InvalidParameter: no folder can be called like the label.
            FeedbackFull: there is no room for it.
            StoreUnwritable: the disk is full, or may not be written.
        """
        home = self._folder / check_name(model)
        digest = hashlib.sha256(data).hexdigest()[:_DIGEST_DIGITS]
        path = home / _folder_name(label) / f"{digest}{extension_of(data)}"
        turn = exclusive(self._folder / LOCK_FILE)  # of the workers
        with explaining_errors(f"write to {home}"), turn:
            elsewhere = [other for other in home.glob(f"*/{path.name}") if other != path]
            if not elsewhere and not path.exists():
                self._take_room(len(data))
            make_folder(path.parent)
            write_atomically(path, data)
            for other in elsewhere:  # the last word counts
                other.unlink()
        return path.relative_to(self._folder).as_posix()

    def _take_room(self, size: int) -> None:
        held = self._noted()
        is_full = held + size > self._max_bytes
        if is_full and time.monotonic() - self._counted_at > _RECOUNT_SECONDS:
            held = self._count()
        if held + size > self._max_bytes:
            raise FeedbackFull(
                f"Expected at most {self._max_bytes} bytes of feedback. Received: {size} more "
                f"than the {held} that are kept"
            )
        self._note(held + size)

    def _count(self) -> int:
        self._counted_at = time.monotonic()
        return sum(file.stat().st_size for file in files_below(self._folder))

    def _note(self, held: int) -> None:
        (self._folder / _BYTES_FILE).write_text(str(held))

    def _noted(self) -> int:
        try:
            return int((self._folder / _BYTES_FILE).read_text())
        except (FileNotFoundError, ValueError):  # removed, or cut short
            return self._count()


def _folder_name(label: str) -> str:
    is_plain = label and Path(label).name == label and "\0" not in label and not is_junk(label)
    if not is_plain or len(label.encode()) > _LONGEST_NAME:
        raise InvalidParameter(
            f"Expected a label that a folder can have as its name. Received: {label[:40]!r}"
        )
    return label
