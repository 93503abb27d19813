"""What a store asks of the place where its models lie."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from model_store.bundle import Bundle
from model_store.manifest import Manifest
from model_store.store.current import CurrentVersion, Pointers


class Storage(Protocol):
    """Versions and pointers of models, in a folder or in object storage; names are valid ones."""

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, or None if nothing was ever promoted.

        Raises:
            StoreDamaged: what says so cannot be understood.
        """

    def pointers(self) -> Pointers:
        """Return which version of each model serves; cheap enough to ask every second."""

    def make_current(self, name: str, number: int) -> CurrentVersion:
        """Let version `number` serve; the one that did becomes the previous one.

        Raises:
            VersionNotFound: there is no such version any more.
        """

    def bundle(self, name: str, number: int, *, afresh: bool) -> Bundle | None:
        """Read the manifest of one version; None: there is no such version.

        Args:
            name: a model.
            number: of its version.
            afresh: take no file from a cache.
        """

    def draft(self, name: str) -> AbstractContextManager[Path]:
        """Give a folder to make a bundle in; what is left of it at the end is removed."""

    def add(self, name: str, draft: Path, manifest: Manifest, *, promote: bool) -> int:
        """Make a draft the next version, whole or not at all; return its number.

        Args:
            name: of the model.
            draft: what `draft` gave, with all files; it is moved away.
            manifest: what to write into it, but for the number.
            promote: also make it the current version.
        """
