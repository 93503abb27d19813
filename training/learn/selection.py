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
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Candidate, Selection
from training.data.inputs import Inputs
from training.learn.augmentation import MIRRORS, MOVEMENTS
from training.learn.recipe import Recipe
from training.learn.task import Architecture, Floats, Task
from training.learn.workers import Workers

_FOLDS = 4
_MOST_FOLDS = 2  # of a comparison of augmentations at first
_ENOUGH_HELD_OUT = 300  # images per comparison; smaller data sets hold out more folds
_MOST_IMAGES = 20_000  # of one trial, held-out ones included
_SHORT_STEPS, _LONG_STEPS, _QUICK_SHARE = 600, 800, 0.5
_FINALISTS, _JOINED_MOVEMENTS = 3, 2
_SURE = 2  # standard errors by which a finer resolution must be better
# Augmentations are told apart with few inputs; to be published, a network has more of them.
_SCOUT_INPUTS, _FEWEST_INPUTS, _MOST_INPUTS, _SHORTEST_SIDE = 400, 1_000, 30_000, 4

# From mild to strong, which is also the order in which ties are broken.
KINDS = ("none", "shifts", "mirror", "upside-down", "flips", "small", "large", "any-angle")


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


@dataclass(frozen=True)
class Tried:
    """One candidate with the loss of every image that was held out from it."""

    pool: int
    augmentation: str
    steps: int
    losses_by_trial: tuple[NDArray[np.float64], ...]  # (images,) each
    right: NDArray[np.bool_]  # (images,), over all trials

    @property
    def losses(self) -> NDArray[np.float64]:
        """Of every image, (images,), trial by trial."""
        return np.concatenate(self.losses_by_trial)

    @property
    def loss(self) -> float:
        """Mean over all images, in nats."""
        return float(self.losses.mean())

    def and_then(self, more: "Tried") -> "Tried":
        """Return the same candidate with further trials."""
        return replace(
            self,
            losses_by_trial=self.losses_by_trial + more.losses_by_trial,
            right=np.concatenate([self.right, more.right]),
        )

    def first(self, trials: int) -> "Tried":
        """Return the same candidate with its first `trials` trials only."""
        losses = self.losses_by_trial[:trials]
        return replace(self, losses_by_trial=losses, right=self.right[: sum(map(len, losses))])

    def record(self, stage: str) -> Candidate:
        """Return what the manifest says of it."""
        return Candidate(
            stage=stage,
            pool=self.pool,
            augmentation=self.augmentation,
            steps=self.steps,
            trials=len(self.losses_by_trial),
            images=len(self.losses),
            loss=self.loss,
            loss_error=standard_error(self.losses),
            accuracy=float(self.right.mean()),
        )


@dataclass(frozen=True)
class Selector:
    """Runs the trials.

    Args:
        at_pool: gives the training images, distinct ones only, as block means.
        val_at_pool: gives the user's own validation images, which are then always the ones held
            out; None: a quarter of the training images is, in each trial another.
        recipe: the settings that are not chosen.
        what: the network; its pool is chosen.
        workers: train side by side.
        quick: shorter trials.
    """

    at_pool: Callable[[int], Inputs]
    val_at_pool: Callable[[int], Inputs] | None
    recipe: Recipe
    what: Architecture
    workers: Workers
    quick: bool = False

    def choose(self, asked: Question, tell: Callable[[str], None]) -> Selection:
        """Return the resolution and the augmentation that generalise best.

        Args:
            asked: the candidates.
            tell: called with one line about each stage.
        """
        records: list[Candidate] = []

        def note(stage: str, tried: Sequence[Tried]) -> None:
            records.extend(one.record(stage) for one in tried)
            losses = ", ".join(f"{one.augmentation} {one.loss:.3f}" for one in tried)
            tell(f"Validation loss, {stage}: {losses}")

        if not asked.is_open:
            return Selection(
                pool=asked.pools[-1],
                augmentation=asked.augmentations[0],
                reason="Nothing was left to choose.",
                candidates=(),
            )
        best, reason = self._refine(asked, self._finalists(asked, note), note)
        return Selection(
            pool=best.pool if len(asked.pools) > 1 else asked.pools[0],
            augmentation=best.augmentation,
            reason=reason,
            candidates=tuple(records),
        )

    def planned_cost(self, asked: Question) -> int:
        """Return about what `choose` costs, in the unit of `Task.cost`."""
        if not asked.is_open:
            return 0
        folds = len(self._first_folds)
        kinds = len(asked.augmentations)
        short = self._task(asked.scout, "none", 0, long=False).cost
        first = short * folds * (kinds + _JOINED_MOVEMENTS) if kinds > 1 else 0
        long = [self._task(pool, "none", 0, long=True).cost for pool in self._looked_at(asked)[:2]]
        finalists = min(kinds, _FINALISTS) * len(self._last_folds)
        return first + finalists * long[0] + folds * sum(long[1:])

    @property
    def _first_folds(self) -> range:
        held_out = (
            len(self.at_pool(self._anything)) / _FOLDS
            if self.val_at_pool is None
            else len(self.val_at_pool(self._anything))
        )
        return range(min(_MOST_FOLDS, max(1, round(_ENOUGH_HELD_OUT / max(held_out, 1)))))

    @property
    def _last_folds(self) -> range:
        count = len(self._first_folds)
        return range(count, count + 2)

    def _finalists(
        self, asked: Question, note: Callable[[str, Sequence[Tried]], None]
    ) -> list[str]:
        pool, kinds = asked.scout, asked.augmentations
        if len(kinds) == 1:
            return list(kinds)
        first = self._trials(pool, kinds, self._first_folds, long=False)
        note(f"first look, {_size(self.what, pool)}", first)
        joined = _joined({one.augmentation: one.loss for one in first})
        both = self._trials(pool, joined, self._first_folds, long=False) if joined else []
        if both:
            note(f"joined, {_size(self.what, pool)}", both)
        kept = sorted(first + both, key=lambda one: one.loss)[:_FINALISTS]
        return [one.augmentation for one in kept]

    def _refine(
        self,
        asked: Question,
        augmentations: Sequence[str],
        note: Callable[[str, Sequence[Tried]], None],
    ) -> tuple[Tried, str]:
        """Return the best candidate from the coarsest pool on, and why no finer one was tried."""
        coarsest, *finer_pools = self._looked_at(asked)
        entries = self._trials(coarsest, augmentations, self._last_folds, long=True)
        note(f"longer, {_size(self.what, coarsest)}", entries)
        best = mildest_of_the_best(entries)
        if not finer_pools:
            return best, "One resolution only."
        folds = self._last_folds[: len(self._first_folds)]
        best = best.first(len(folds))
        note(f"resolution, {_size(self.what, coarsest)}", [best])
        for pool in finer_pools:
            (finer,) = self._trials(pool, [best.augmentation], folds, long=True)
            note(f"resolution, {_size(self.what, pool)}", [finer])
            gain = best.losses - finer.losses
            if gain.mean() <= _SURE * standard_error(gain):
                return best, (
                    f"{_size(self.what, pool)} is no better than {_size(self.what, best.pool)}: "
                    f"the loss changes by {-gain.mean():+.4f} ± {standard_error(gain):.4f}."
                )
            best = finer
        return best, "The finest resolution that was tried is the best."

    def _looked_at(self, asked: Question) -> Sequence[int]:
        """Return the pools at which finalists learn; a given one may cost too much for trials."""
        return asked.pools if len(asked.pools) > 1 else [asked.scout]

    def _trials(
        self, pool: int, augmentations: Sequence[str], folds: range, *, long: bool
    ) -> list[Tried]:
        """Return one entry per augmentation, over all `folds`."""
        jobs = list(product(augmentations, folds))
        tasks = [self._task(pool, name, fold, long=long) for name, fold in jobs]
        found: dict[str, Tried] = {}
        for (name, _), task, logits in zip(jobs, tasks, self.workers.trials(tasks), strict=True):
            one = _judged(task, logits)
            found[name] = found[name].and_then(one) if name in found else one
        return list(found.values())

    def _task(self, pool: int, augmentation: str, fold: int, *, long: bool) -> Task:
        images = self.at_pool(pool)
        if self.val_at_pool is None:
            train, held_out = _fold(images.truth, fold, self.recipe.seed)
            train_images, val_images = images.part(train), images.part(held_out)
        else:
            chosen = _some(len(images), fold, self.recipe.seed)
            train_images, val_images = images.part(chosen), self.val_at_pool(pool)
        steps = round((_LONG_STEPS if long else _SHORT_STEPS) * (_QUICK_SHARE if self.quick else 1))
        recipe = replace(
            self.recipe,
            augmentation=augmentation,
            pool=pool,
            batch_size=min(self.recipe.batch_size, len(train_images)),
            seed=self.recipe.seed + fold,  # the user's own validation images stay the same
        )
        return Task(
            train_images,
            val_images,
            replace(self.what, pool=pool),
            recipe.of_length(steps, len(train_images)),
        )

    @property
    def _anything(self) -> int:
        return self.what.pool


def mildest_of_the_best(entries: Sequence[Tried]) -> Tried:
    """Return the mildest entry that is within one standard error of the best."""
    best = min(entries, key=lambda one: one.loss)
    for one in sorted(entries, key=lambda one: _strength(one.augmentation)):
        difference = one.losses - best.losses
        if difference.mean() <= standard_error(difference):
            return one
    return best


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of `values`, (N,); 0 for a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _judged(task: Task, logits: Floats) -> Tried:
    from training.judge.metrics import cross_entropy, fit_temperature

    # Calibrated, as the published network is: smoothed labels leave every network unsure.
    calibrated = logits / np.float32(fit_temperature(logits, task.val.truth))
    return Tried(
        task.recipe.pool,
        task.recipe.augmentation,
        task.steps,
        (cross_entropy(calibrated, task.val.truth),),
        logits.argmax(axis=1) == task.val.truth,
    )


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


def _strength(augmentation: str) -> int:
    return sum(KINDS.index(part) for part in augmentation.split("+") if part in KINDS)


def _size(what: Architecture, pool: int) -> str:
    rows, columns = replace(what, pool=pool).inputs
    return f"{rows} x {columns}"


def _inputs(height: int, width: int, pool: int) -> int:
    return (height // pool) * (width // pool)
