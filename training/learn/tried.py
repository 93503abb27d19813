"""One candidate of a choice, how it did, and which of several is to be preferred."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Candidate
from training.learn.task import Floats, Task

# From mild to strong, which is also the order in which ties are broken.
KINDS = ("none", "shifts", "mirror", "upside-down", "flips", "small", "large", "any-angle")


@dataclass(frozen=True)
class Tried:
    """One candidate, and how it did on the images that were held out from it."""

    pool: int
    augmentation: str
    steps: int
    trials: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]  # loss, is right: (images,)

    @property
    def losses(self) -> NDArray[np.float64]:
        """Of every image in nats, (images,), trial by trial."""
        return np.concatenate([losses for losses, _ in self.trials])

    @property
    def loss(self) -> float:
        """Mean over all images, in nats."""
        return float(self.losses.mean())

    def record(self, stage: str) -> Candidate:
        """Return what the manifest says of it."""
        return Candidate(
            stage=stage,
            pool=self.pool,
            augmentation=self.augmentation,
            steps=self.steps,
            trials=len(self.trials),
            images=len(self.losses),
            loss=self.loss,
            loss_error=standard_error(self.losses),
            accuracy=float(np.concatenate([right for _, right in self.trials]).mean()),
        )


def judged(task: Task, logits: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the loss of each held-out image in nats, and whether it is right, (images,) each."""
    from training.judge.metrics import cross_entropy, fit_temperature

    # Calibrated, as the published network is: smoothed labels leave every network unsure.
    truth = task.val.truth
    calibrated = logits / np.float32(fit_temperature(logits, truth))
    return cross_entropy(calibrated, truth), logits.argmax(axis=1) == truth


def mildest_of_the_best(entries: Sequence[Tried]) -> Tried:
    """Return the mildest entry that is within one standard error of the best."""
    best = min(entries, key=lambda one: one.loss)
    worse = [one.losses - best.losses for one in entries]  # 0 everywhere for the best itself
    close = [one for one, by in zip(entries, worse, strict=True) if by.mean() <= standard_error(by)]
    return min(close, key=lambda one: _strength(one.augmentation))


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of `values`, (N,); 0 for a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _strength(augmentation: str) -> int:
    return sum(KINDS.index(part) for part in augmentation.split("+") if part in KINDS)
