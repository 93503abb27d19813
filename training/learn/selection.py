"""Choose resolution and augmentation by real, short runs on held-out training images.

1. At the coarsest resolution, every kind of augmentation learns for a while on one fold, and then
   the best mirror image and the best movements joined, where each of them helped.
2. The three best learn for longer on two more folds (successive halving, Jamieson & Talwalkar
   2016). On one of these, the best goes on to the next finer resolution, which costs four times as
   much, as long as finer is better by more than two standard errors.

Candidates are compared on the same images, image by image. Within one standard error of the best,
the milder augmentation wins (Breiman et al. 1984, section 3.4.3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Candidate, Selection
from training.data.inputs import Inputs
from training.learn.augmentation import MIRRORS, MOVEMENTS
from training.learn.recipe import Recipe, steps_per_epoch
from training.learn.task import Architecture, Floats, Task
from training.learn.tried import KINDS, Tried, judged, mildest_of_the_best, standard_error

_FOLDS = 4
_MOST_FOLDS, _LAST_FOLDS = 2, 2  # of a comparison of augmentations at first, and of the finalists
_ENOUGH_HELD_OUT = 300  # images per comparison; smaller data sets hold out more folds
_MOST_IMAGES = 20_000  # of one trial, held-out ones included
_SHORT_STEPS, _LONG_STEPS, _QUICK_SHARE = 600, 800, 0.5
_FINALISTS, _JOINED_MOVEMENTS = 3, 2
_SURE = 2  # standard errors by which a finer resolution must be better
# Augmentations are told apart with few inputs; to be published, a network has more of them.
_SCOUT_INPUTS, _FEWEST_INPUTS, _MOST_INPUTS, _SHORTEST_SIDE = 400, 1_000, 30_000, 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be chosen; what has one value only is given."""

    scout: int  # the pool at which augmentations are looked at first
    pools: tuple[int, ...]  # from coarse to fine
    augmentations: tuple[str, ...]  # from mild to strong

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.augmentations) > 1 or len(self.pools) > 1

    @property
    def looked_at(self) -> tuple[int, ...]:
        """The pools at which finalists learn; a given one may cost too much for trials."""
        return self.pools if len(self.pools) > 1 else (self.scout,)


def finest_pool(height: int, width: int) -> int:
    """Return the smallest power of two that leaves at most 30,000 block means of an image."""
    pool = 1
    while _inputs(height, width, pool) > _MOST_INPUTS:
        pool *= 2
    return pool


def question(
    height: int, width: int, pool: int | None, augmentation: str | None, *, handwriting: bool
) -> Question:
    """Return what to choose for images of `height` by `width` pixels, of MNIST's form or not."""
    ladder = [pool or finest_pool(height, width)]
    while (
        _inputs(height, width, 2 * ladder[0]) >= _SCOUT_INPUTS
        and min(height, width) >= 2 * ladder[0] * _SHORTEST_SIDE
    ):
        ladder.insert(0, 2 * ladder[0])
    fine = [p for p in ladder[:-1] if _inputs(height, width, p) >= _FEWEST_INPUTS]
    augmentations = (augmentation or "handwriting",) if augmentation or handwriting else KINDS
    return Question(ladder[0], (*(() if pool else fine), ladder[-1]), augmentations)


class Trials(Protocol):
    """What runs short trainings side by side: processes here, or a cluster."""

    def trials(self, tasks: Sequence[Task]) -> list[Floats]:
        """Return the validation logits after a short run of each task, in order.

        Raises:
            TrainingError: it was interrupted, or cannot be done.
        """
        ...


@dataclass(frozen=True)
class Selector:
    """Runs the trials of one question.

    Args:
        asked: the candidates.
        at_pool: gives the training images, distinct ones only, as block means.
        val_at_pool: gives the user's own validation images, which are then always the ones held
            out; None: a quarter of the training images is, in each trial another.
        recipe: the settings that are not chosen.
        what: the network; its pool is chosen.
        quick: shorter trials.
        tell: called with one line about each stage.
    """

    asked: Question
    at_pool: Callable[[int], Inputs]
    val_at_pool: Callable[[int], Inputs] | None
    recipe: Recipe
    what: Architecture
    quick: bool
    tell: Callable[[str], None]
    _records: list[Candidate] = field(default_factory=list)

    def choose(self, workers: Trials) -> Selection:
        """Return the resolution and the augmentation that generalise best.

        Raises:
            TrainingError: as `Trials`.
        """
        asked = self.asked
        if not asked.is_open:
            return Selection(
                pool=asked.pools[-1],
                augmentation=asked.augmentations[0],
                reason="Nothing was left to choose.",
                candidates=(),
            )
        best, reason = self._refine(self._finalists(workers), workers)
        return Selection(
            pool=best.pool if len(asked.pools) > 1 else asked.pools[0],
            augmentation=best.augmentation,
            reason=reason,
            candidates=tuple(self._records),
        )

    def planned_cost(self) -> int:
        """Return about what `choose` costs, in the unit of `Task.cost`."""
        if not self.asked.is_open:
            return 0
        folds, kinds = len(self._first_folds), len(self.asked.augmentations)
        short = self._cost(self.asked.scout, _SHORT_STEPS)
        first = short * folds * (kinds + _JOINED_MOVEMENTS) if kinds > 1 else 0
        pools = self.asked.looked_at[:2]
        long = [self._cost(pool, _LONG_STEPS) for pool in pools]
        return first + min(kinds, _FINALISTS) * _LAST_FOLDS * long[0] + folds * sum(long[1:])

    def _cost(self, pool: int, steps: int) -> int:
        return self._task(pool, "none", 0, self._images(pool, 0), steps).cost

    @property
    def _first_folds(self) -> range:
        held_out = (self.val_at_pool or self.at_pool)(self.what.pool)
        images = len(held_out) / (1 if self.val_at_pool else _FOLDS)
        return range(min(_MOST_FOLDS, max(1, round(_ENOUGH_HELD_OUT / max(images, 1)))))

    @property
    def _last_folds(self) -> range:
        count = len(self._first_folds)
        return range(count, count + _LAST_FOLDS)

    def _finalists(self, workers: Trials) -> list[str]:
        pool, kinds = self.asked.scout, self.asked.augmentations
        if len(kinds) == 1:
            return list(kinds)
        first = self._trials(workers, pool, kinds, self._first_folds, _SHORT_STEPS)
        self._note("first look", first)
        joined = _joined({one.augmentation: one.loss for one in first})
        both = self._trials(workers, pool, joined, self._first_folds, _SHORT_STEPS)
        self._note("joined", both)
        kept = sorted(first + both, key=lambda one: one.loss)[:_FINALISTS]
        return [one.augmentation for one in kept]

    def _refine(self, augmentations: Sequence[str], workers: Trials) -> tuple[Tried, str]:
        """Return the best candidate from the coarsest pool on, and why no finer one was tried."""
        coarsest, *finer_pools = self.asked.looked_at
        entries = self._trials(workers, coarsest, augmentations, self._last_folds, _LONG_STEPS)
        self._note("longer", entries)
        best = mildest_of_the_best(entries)
        if not finer_pools:
            return best, "One resolution only."
        folds = self._last_folds[: len(self._first_folds)]
        best = replace(best, trials=best.trials[: len(folds)])
        self._note("resolution", [best])
        for pool in finer_pools:
            (finer,) = self._trials(workers, pool, [best.augmentation], folds, _LONG_STEPS)
            self._note("resolution", [finer])
            gain = best.losses - finer.losses
            if gain.mean() <= _SURE * standard_error(gain):
                return best, (
                    f"{self._size(pool)} is no better than {self._size(best.pool)}: "
                    f"the loss changes by {-gain.mean():+.4f} ± {standard_error(gain):.4f}."
                )
            best = finer
        return best, "The finest resolution that was tried is the best."

    def _note(self, stage: str, tried: Sequence[Tried]) -> None:
        if tried:
            stage = f"{stage}, {self._size(tried[0].pool)}"
            self._records.extend(one.record(stage) for one in tried)
            losses = ", ".join(f"{one.augmentation} {one.loss:.3f}" for one in tried)
            self.tell(f"Validation loss, {stage}: {losses}")

    def _trials(
        self,
        workers: Trials,
        pool: int,
        augmentations: Sequence[str],
        folds: Sequence[int],
        steps: int,
    ) -> list[Tried]:
        """Return one entry per augmentation, over all `folds`."""
        jobs = list(product(augmentations, folds))
        images = {fold: self._images(pool, fold) for fold in folds}
        tasks = [self._task(pool, name, fold, images[fold], steps) for name, fold in jobs]
        results = list(map(judged, tasks, workers.trials(tasks)))
        return [
            Tried(pool, name, tasks[k].steps, results[k : k + len(folds)])
            for k, (name, fold) in enumerate(jobs)
            if fold == folds[0]
        ]

    def _images(self, pool: int, fold: int) -> tuple[Inputs, Inputs]:
        """Return the images that a trial learns from, and those held out from it."""
        images = self.at_pool(pool)
        if self.val_at_pool is None:
            chosen, held_out = _fold(images.truth, fold, self.recipe.seed)
            return images.part(chosen), images.part(held_out)
        some = _some(len(images), fold, self.recipe.seed)
        return images.part(some), self.val_at_pool(pool)

    def _task(
        self, pool: int, augmentation: str, fold: int, images: tuple[Inputs, Inputs], steps: int
    ) -> Task:
        train, val = images
        batch_size = min(self.recipe.batch_size, len(train))
        steps = round(steps * _QUICK_SHARE) if self.quick else steps
        recipe = replace(
            self.recipe,
            augmentation=augmentation,
            epochs=max(1, round(steps / steps_per_epoch(len(train), batch_size))),
            batch_size=batch_size,
            seed=self.recipe.seed + fold,  # the user's own validation images stay the same
        )
        return Task(train, val, replace(self.what, pool=pool), recipe)

    def _size(self, pool: int) -> str:
        rows, columns = replace(self.what, pool=pool).inputs
        return f"{rows} x {columns}"


def _joined(losses: Mapping[str, float]) -> list[str]:
    """Return the best mirror image with the best movements, where both are better than nothing."""
    helpful = sorted((name for name in losses if losses[name] < losses["none"]), key=losses.get)  # type: ignore[arg-type]  # no None in it
    mirrors = [name for name in helpful if name in MIRRORS][:1]
    movements = [name for name in helpful if name in MOVEMENTS][:_JOINED_MOVEMENTS]
    return [f"{mirror}+{movement}" for mirror in mirrors for movement in movements]


def _fold(
    truth: NDArray[np.int64], fold: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (training, held-out) indices of one of four folds that hold every class alike.

    Folds 4 to 7 are another partition, and so on.
    """
    random = np.random.default_rng([seed, fold // _FOLDS])
    order = random.permutation(len(truth))[:_MOST_IMAGES]
    order = order[np.argsort(truth[order], kind="stable")]
    is_held_out = np.arange(len(order)) % _FOLDS == fold % _FOLDS
    return np.sort(order[~is_held_out]), np.sort(order[is_held_out])


def _some(count: int, fold: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng([seed, fold]).permutation(count)[:_MOST_IMAGES])


def _inputs(height: int, width: int, pool: int) -> int:
    return (height // pool) * (width // pool)
