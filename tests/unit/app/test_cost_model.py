import pytest

from app.batching.cost_model import CostModel


def test_line_through_two_measurements():
    costs = CostModel.through(one_s=4.0, full_s=11.0, full=8)

    assert costs.batch_s(1) == pytest.approx(4)
    assert costs.batch_s(8) == pytest.approx(11)
    assert costs.batch_s(4) == pytest.approx(7)


@pytest.mark.parametrize(("images", "expected"), [(0, 0), (1, 4), (8, 11), (9, 15), (16, 22)])
def test_total_of_full_batches_and_a_rest(images, expected):
    costs = CostModel.through(one_s=4.0, full_s=11.0, full=8)

    assert costs.total_s(images, max_batch=8) == pytest.approx(expected)


def test_noise_never_gives_negative_times():
    costs = CostModel.through(one_s=5.0, full_s=4.0, full=32)

    assert costs.batch_s(32) >= costs.batch_s(1) > 0


def test_load_is_followed_within_a_few_batches_but_not_at_once():
    costs = CostModel(fixed_s=1.0, per_image_s=0.0)
    costs.observe(1, 3.0)
    after_one = costs.batch_s(1)
    for _ in range(20):
        costs.observe(1, 3.0)

    assert 1 < after_one < 2
    assert costs.batch_s(1) == pytest.approx(3, rel=0.05)


def test_one_batch_that_took_for_ever_does_not_close_the_queue():
    costs = CostModel(fixed_s=1.0, per_image_s=0.0)
    costs.observe(1, 3600.0)

    assert costs.batch_s(1) < 3


def test_decoding_follows_what_the_last_images_took():
    costs = CostModel()
    assert costs.decode_s == 0
    for _ in range(50):
        costs.observe_decoding(3.0)

    assert costs.decode_s == pytest.approx(3, rel=0.01)
