"""How resolution and augmentation are chosen, with trials whose outcome is made up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.manifest import Selection
from training.data.inputs import Inputs
from training.errors import TrainingInterrupted
from training.learn.recipe import Recipe
from training.learn.selection import Question, Selector, _fold, question
from training.learn.task import Architecture, Floats, Task
from training.learn.tried import KINDS, Tried, mildest_of_the_best
from training.learn.workers import Workers

LABELS = 3
NOTEBOOK = question(960, 480, None, None, handwriting=False)

Skill = Callable[[int, str], float]  # of a pool and an augmentation


def images(count: int, first: int = 0) -> Inputs:
    """Return images that hold nothing but their own number."""
    numbers = np.arange(first, first + count, dtype=np.float32)[:, None, None]
    return Inputs(np.arange(count) % LABELS, numbers.__getitem__)


def numbers(inputs: Inputs) -> list[int]:
    return [int(n) for n in inputs.read(np.arange(len(inputs))).ravel()]


@dataclass
class FakeWorkers:
    """Trials that tell the held-out images apart with a given skill; noise belongs to the image."""

    skill: Skill
    planned: int = 0
    tasks: list[Task] = field(default_factory=list)

    def trials(self, tasks: Sequence[Task]) -> list[Floats]:
        self.tasks += tasks
        return [self._logits(task) for task in tasks]

    def _logits(self, task: Task) -> Floats:
        noise = np.random.default_rng(0).normal(size=(3000, LABELS))[numbers(task.val)]
        skill = self.skill(task.what.pool, task.recipe.augmentation)
        return (noise + skill * np.eye(LABELS)[task.val.truth]).astype(np.float32)

    @property
    def cost(self) -> int:
        return sum(task.cost for task in self.tasks)

    @property
    def pools(self) -> set[int]:
        return {task.what.pool for task in self.tasks}

    @property
    def augmentations(self) -> set[str]:
        return {task.recipe.augmentation for task in self.tasks}


def choose(
    skill: Skill,
    count: int = 400,
    val: Inputs | None = None,
    *,
    asked: Question = NOTEBOOK,
    seed: int = 7,
    quick: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Selection, FakeWorkers]:
    """Return what is chosen from `count` images of 960 x 480, and the trials that it took."""
    recipe = Recipe("none", 1.0, epochs=9, batch_size=32, seed=seed)
    what = Architecture(960, 480, 4, LABELS, (32,), 0.1)
    val_at_pool = None if val is None else (lambda _: val)
    chooser = Selector(asked, lambda _: images(count), val_at_pool, recipe, what, quick, tell)
    workers = FakeWorkers(skill, chooser.planned_cost())
    return chooser.choose(workers), workers


def asking(pool: int | None, augmentation: str | None) -> Question:
    return question(960, 480, pool, augmentation, handwriting=False)


def by_name(**skills: float) -> Skill:
    return lambda _, name: skills.get(name.replace("+", "_").replace("-", "_"), 1.0)


def test_the_mirror_image_that_helps_is_chosen_and_what_was_tried_is_told():
    told: list[str] = []
    chosen, workers = choose(by_name(none=2, mirror=4, flips=3), tell=told.append)

    assert (chosen.pool, chosen.augmentation) == (16, "mirror")
    first = [one for one in chosen.candidates if one.stage == chosen.candidates[0].stage]
    assert [one.augmentation for one in first] == list(KINDS)
    assert {one.images for one in first} == {200}  # two of four folds of 400
    loss = {one.augmentation: one.loss for one in first}
    assert min(loss, key=lambda name: loss[name]) == "mirror"
    assert all(one.loss_error > 0 and one.accuracy > 0.4 for one in first)
    stages = {one.stage.partition(",")[0] for one in chosen.candidates}
    assert stages == {"first look", "longer", "resolution"}
    assert any(f"mirror {loss['mirror']:.3f}" in line for line in told)
    assert workers.augmentations == {*KINDS}  # no movement was worth joining
    costs = dict.fromkeys(KINDS, 0)
    for task in workers.tasks:
        costs[task.recipe.augmentation] += task.cost
    assert costs["any-angle"] < 0.25 * costs["mirror"]  # losers cost little


def test_a_mirror_image_and_a_movement_that_both_help_are_joined():
    skill = by_name(none=2, flips=2.5, large=3, small=2.8, flips_large=6)
    chosen, workers = choose(skill)

    assert chosen.augmentation == "flips+large"
    assert workers.augmentations == {*KINDS, "flips+large", "flips+small"}


NO_BETTER = "120 x 60 is no better than 60 x 30"
LADDER = replace(NOTEBOOK, scout=64, pools=(32, 16, 8, 4))
CHOICES: dict[str, tuple[Skill, dict[str, Any], tuple[int, str], set[int], str]] = {
    # skill, what is asked, pool and augmentation that are chosen, pools that are tried, the reason
    "few equals": (lambda *_: 2, {"count": 60}, (16, "none"), {32, 16, 8}, NO_BETTER),
    "equals": (lambda *_: 2, {}, (16, "none"), {32, 16, 8}, NO_BETTER),
    "many equals": (lambda *_: 2, {"count": 3000}, (16, "none"), {32, 16, 8}, NO_BETTER),
    "finer helps for a while": (
        lambda pool, _: {64: 1, 32: 2, 16: 4, 8: 4, 4: 99}[pool],
        {"asked": LADDER}, (16, "none"), {64, 32, 16, 8}, NO_BETTER,
    ),
    "finer helps to the end": (
        lambda pool, _: 16 / pool,
        {}, (4, "none"), {32, 16, 8, 4}, "The finest resolution that was tried is the best.",
    ),
    "a given pool stays, and coarser ones tell augmentations apart": (
        by_name(none=2, mirror=4),
        {"asked": asking(1, None)}, (1, "mirror"), {32}, "One resolution only.",
    ),
    "a given augmentation stays": (
        lambda pool, _: 4 if pool < 16 else 2,
        {"asked": asking(None, "flips")}, (8, "flips"), {16, 8, 4}, "240 x 120 is no better",
    ),
    "nothing is open": (
        lambda *_: 1, {"asked": asking(8, "small")}, (8, "small"), set(), "Nothing was left",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("skill", "asked", "expected", "pools", "reason"), CHOICES.values(), ids=CHOICES
)
def test_the_coarsest_and_mildest_that_generalises_best_is_chosen(
    skill, asked, expected, pools, reason
):
    chosen, workers = choose(skill, **asked)

    assert (chosen.pool, chosen.augmentation) == expected
    assert workers.pools == pools
    assert reason in chosen.reason
    given = asked.get("asked", NOTEBOOK).augmentations
    assert len(given) > 1 or workers.augmentations <= {*given}
    longer = any(one.stage.startswith("longer") for one in chosen.candidates)
    assert (longer, workers.planned > 0) == (bool(pools), bool(pools))


@pytest.mark.parametrize("skill", [lambda *_: 2.0, lambda pool, _: 2.0 if pool > 8 else 4.0])
def test_the_planned_cost_is_within_a_factor_of_two_of_the_real_one(skill):
    _, workers = choose(skill)

    assert 0.5 < workers.planned / workers.cost < 2


def test_held_out_images_are_never_trained_on():
    _, workers = choose(lambda *_: 2.0)

    for task in workers.tasks:
        train, held_out = set(numbers(task.train)), set(numbers(task.val))
        assert not train & held_out
        assert len(train) + len(held_out) == 400


def test_the_users_validation_images_are_the_ones_held_out():
    chosen, workers = choose(by_name(none=2, mirror=4), val=images(50, first=1000))

    assert chosen.augmentation == "mirror"
    for task in workers.tasks:
        assert numbers(task.val) == list(range(1000, 1050))
        assert numbers(task.train) == list(range(400))
    assert len({task.recipe.seed for task in workers.tasks}) == 4  # each trial starts anew


def test_the_seed_decides_every_trial():
    def trials(seed: int) -> list[tuple[int, list[int]]]:
        _, workers = choose(lambda *_: 2.0, seed=seed)
        return [(task.recipe.seed, numbers(task.val)) for task in workers.tasks]

    assert trials(1) == trials(1)
    assert trials(1)[0][1] != trials(2)[0][1]


def test_quick_trials_are_shorter():
    (_, usual), (_, quick) = (choose(lambda *_: 2.0, quick=quick) for quick in (False, True))
    assert quick.cost < 0.6 * usual.cost


@pytest.mark.parametrize(
    ("height", "width", "pool", "scout", "pools"),
    [
        (960, 480, None, 32, (16, 8, 4)),
        (300, 300, None, 8, (8, 4, 2)),
        (100, 100, None, 4, (2, 1)),
        (28, 28, None, 1, (1,)),
        (2000, 8, None, 2, (2, 1)),
        (8192, 2, None, 1, (1,)),
        (8192, 8192, None, 256, (256, 128, 64)),
        (1, 1, None, 1, (1,)),
        (960, 480, 1, 32, (1,)),
        (960, 480, 5, 20, (5,)),
        (960, 480, 100, 100, (100,)),
    ],
)
def test_pools_go_from_few_inputs_to_what_still_fits(height, width, pool, scout, pools):
    asked = question(height, width, pool, None, handwriting=False)
    assert (asked.scout, asked.pools) == (scout, pools)


@pytest.mark.parametrize(
    ("augmentation", "handwriting", "expected"),
    [
        (None, False, KINDS),
        (None, True, ("handwriting",)),
        ("flips+small", False, ("flips+small",)),
        ("none", True, ("none",)),
    ],
)
def test_augmentations_that_are_in_question(augmentation, handwriting, expected):
    assert question(28, 28, None, augmentation, handwriting=handwriting).augmentations == expected


def tried(augmentation: str, losses: NDArray[np.float64]) -> Tried:
    return Tried(4, augmentation, 100, [(losses, losses < 1)])


def test_within_one_standard_error_the_milder_wins():
    random = np.random.default_rng(0)
    base = random.exponential(size=200)
    best = tried("large", base)
    as_good = base + random.normal(0.01, 0.5, 200)
    as_good += 0.01 - (as_good - base).mean()
    clearly_worse = base + random.normal(0.3, 0.5, 200)

    milder, mildest = tried("small", as_good), tried("none", as_good)
    assert mildest_of_the_best([best, tried("none", clearly_worse)]) is best
    assert mildest_of_the_best([best, milder]) is milder
    assert mildest_of_the_best([best, mildest, milder]) is mildest


def test_the_comparison_is_paired():
    """A small difference that every image shares is none of chance."""
    base = np.random.default_rng(0).exponential(5, 200)
    best, milder = tried("shifts", base), tried("none", base + 0.05)

    assert mildest_of_the_best([best, milder]) is best


def test_four_folds_are_a_stratified_partition_and_the_next_four_another():
    truth = np.repeat([0, 1, 2], [101, 40, 7])
    folds = [_fold(truth, k, seed=3) for k in range(8)]

    for train, held_out in folds:
        assert sorted([*train, *held_out]) == list(range(148))
        counts = np.bincount(truth[held_out], minlength=3)
        assert (np.abs(counts - np.array([101, 40, 7]) / 4) <= 1).all()
    for part in (folds[:4], folds[4:]):
        assert sorted(np.concatenate([held_out for _, held_out in part])) == list(range(148))
    assert not {tuple(h) for _, h in folds[:4]} & {tuple(h) for _, h in folds[4:]}
    assert (folds[0][1] == _fold(truth, 0, seed=3)[1]).all()
    assert tuple(folds[0][1]) != tuple(_fold(truth, 0, seed=4)[1])


def test_large_data_sets_lend_a_sample():
    train, held_out = _fold(np.arange(50_000) % 10, 0, seed=0)
    assert (len(train), len(held_out)) == (15_000, 5_000)


def test_ctrl_c_while_choosing_stops_every_trial():
    class Executor:
        ended = False

        def submit(self, *_: object) -> "Executor":
            return self

        def result(self) -> None:
            raise KeyboardInterrupt

        def shutdown(self, **_: object) -> None:
            self.ended = True

    executor, stop = Executor(), Event()
    with pytest.raises(TrainingInterrupted, match="nothing to keep"):
        Workers(executor, stop).trials([None])  # type: ignore[arg-type, list-item]  # fakes
    assert stop.is_set() and executor.ended
