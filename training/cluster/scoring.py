"""Predictions for any number of images, on the nodes of a Ray cluster."""

import errno
import json
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model_store.bundle import Model
from model_store.errors import InvalidLayout, ModelStoreError, NoImages
from model_store.inference import BATCH_SIZE, predict_all
from model_store.sources.files import printable
from model_store.store.location import is_bucket
from training.cluster.connection import connected, require_cluster
from training.cluster.job import Job, job_of
from training.cluster.places import Place, place
from training.cluster.target import begin, require_begun, write_part
from training.errors import ClusterError, TargetRefused, TrainingError
from training.progress import Reporter

# So many parts, or so: enough to spread, and to lose little with a node.
_PARTS, _MOST_BATCHES = 1000, 64
# Threads that read and decode for one CPU that infers. A bucket's mostly wait.
_FOLDER_READERS, _BUCKET_READERS = 2, 8


def predict_on_cluster(
    model: Model, source: str, target: str, address: str, reporter: Reporter
) -> None:
    """Write one row per image of `source`, those of `predict`; rows that are there already stay.

    Args:
        model: an opened version of the default store; the nodes open the same one.
        source: a folder, searched recursively, or a bucket.
        target: an empty folder or bucket, or one that was begun with this version and source.
        address: see `connected`.
        reporter: shows progress, and tells what was written.

    Raises:
        SourceError: there are no images.
        TargetRefused: the target is no folder, or holds something else.
        ClusterError: there is no such cluster, or a node cannot do the work.
        ModelStoreError: a folder or a bucket fails.
    """
    require_cluster(address)
    job = job_of(model, source, target)
    names = _names(job)
    done = begin(job)
    rest = [name for name in names if printable(name) not in done]
    if len(rest) < len(names):
        reporter.say(f"{len(names) - len(rest)} of {len(names)} images were scored before")
    if rest and (errors := _score(job, parts_of(rest, len(names)), address, reporter)):
        reporter.warn(f"{errors} images could not be read; the column error says why")
    reporter.say(f"Wrote {job.target}")


def _names(job: Job) -> list[str]:
    """Return every file, in the order in which the local `predict` takes them."""
    if not is_bucket(job.source) and not Path(job.source).is_dir():
        raise InvalidLayout(f"Expected a folder or a bucket of images. Received: {job.source}")
    if f"{job.target}/".startswith(f"{job.source}/"):
        raise TargetRefused(f"Expected a place outside of {job.source}. Received: {job.target}")
    names = sorted(place(job.source).names(), key=printable)
    if not names:
        raise NoImages(f"Expected image files in {job.source}. Received: none")
    return names


def parts_of(names: Sequence[str], total: int) -> list[Sequence[str]]:
    """Divide names into parts of whole batches, so that each meets the company that it has locally.

    Answers may differ in the last digits between batches of different sizes.
    """
    size = BATCH_SIZE * min(max(total // (BATCH_SIZE * _PARTS), 1), _MOST_BATCHES)
    return [names[start : start + size] for start in range(0, len(names), size)]


def _score(job: Job, parts: Sequence[Sequence[str]], address: str, reporter: Reporter) -> int:
    """Score the parts; return how many images could not be read."""
    with ExitStack() as stack:
        with reporter.waiting(f"Connecting to the cluster {address}"):
            stack.enter_context(connected(address))
        title = f"Predicting with {job.name} {job.version}"
        advance = stack.enter_context(reporter.stage(title, sum(map(len, parts))))
        errors = 0
        for row in _scored(job, parts):
            if row["refused"]:
                raise ClusterError(row["refused"])
            advance(row["images"])
            errors += row["errors"]
        return errors


def _scored(job: Job, parts: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield what `Scorer` returns of each part, in no order."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are ours to say
    rows = [{"names": json.dumps(part)} for part in parts]  # JSON holds names that are no UTF-8
    scored = from_items(rows, override_num_blocks=len(rows)).map_batches(
        Scorer,
        fn_constructor_args=(job,),
        batch_size=1,
        num_cpus=1,
        # With a pool of fixed size it would wait for ever for a node that is gone.
        compute=ActorPoolStrategy(min_size=1, max_size=_cpus()),
    )
    try:
        yield from scored.iter_rows()
    except ray.exceptions.RayError as error:
        raise ClusterError(f"A node of the cluster failed: {_reason(str(error))}") from error


def _reason(traceback: str) -> str:
    """Return the line of a traceback that says what happened."""
    said = re.findall(r"^[\w.]+(?:Error|Exception)\b.*$", traceback, re.MULTILINE)
    return str(said[-1]) if said else traceback.strip().partition("\n")[0]


def _cpus() -> int:
    import ray

    return max(int(ray.cluster_resources().get("CPU", 0)), 1)


class Scorer:
    """Scores parts in a process of its own on some node, one after the other, on one CPU."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._source, self._target = place(job.source), place(job.target)
        self._threads = _BUCKET_READERS if is_bucket(job.source) else _FOLDER_READERS

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Score one part; return how many images and errors it holds, or why it cannot be done."""
        names = json.loads(batch["names"][0])
        errors, refused = 0, ""
        try:
            errors = self._score(names)
        except (ModelStoreError, TrainingError) as error:
            refused = f"{socket.gethostname()}: {error}"
        return {"images": [len(names)], "errors": [errors], "refused": [refused]}

    def _score(self, names: Sequence[str]) -> int:
        images, everything = _Images(self._source, names), iter(range(len(names)))
        rows = list(predict_all(self._model, images, everything, lambda _: None, self._threads))
        if all(row.error for row in rows) and self._source.read(names[0]) is None:
            raise ClusterError(f"{self._job.source} is not the same folder on every node")
        write_part(self._target, list(map(printable, names)), rows, self._model.labels)
        return sum(row.error is not None for row in rows)

    @cached_property
    def _model(self) -> Model:
        """The version of the job, opened once, where this node sees what the driver sees."""
        require_begun(self._job)
        return self._job.open_model()


@dataclass(frozen=True, slots=True)
class _Images:
    """The images of one part, as `predict_all` takes them."""

    source: Place
    names: Sequence[str]

    def encoded(self, index: int) -> bytes:
        data = self.source.read(self.names[index])
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return data
