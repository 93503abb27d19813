"""Folders of labelled images as `check` and `fit` read them."""

from pathlib import Path

from model_store.sources import open_labelled
from training.data.also import with_more
from training.data.cache import PixelCache
from training.data.check import Findings, inspect
from training.data.dataset import Dataset, assemble_dataset


def split(root: Path, cache: PixelCache, seed: int = 0, also: Path | None = None) -> Dataset:
    """Return the splits of `root`, with what the model "toy" got from `also`."""
    source = open_labelled(root) if also is None else with_more(open_labelled(root), also, "toy")
    return assemble_dataset(source, cache.index(source, lambda _: None), cache, seed)


def look(root: Path, cache: PixelCache, also: Path | None = None) -> Findings:
    """Return what `check` sees in the same images."""
    source = open_labelled(root) if also is None else with_more(open_labelled(root), also, "toy")
    return inspect(source, cache.index(source, lambda _: None), cache.spec)
