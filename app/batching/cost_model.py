"""How long images will take on this host, learned from those that were decoded and computed."""

# Weight of the newest observation: a change of load shows within a few batches, one outlier does
# not empty the queue.
SMOOTHING = 0.2

# One batch counts as at most this many times slower than the last ones. A machine that was
# suspended would otherwise refuse everything for minutes, and so not find out that it is fast.
MOST_AT_ONCE = 10.0


class CostModel:
    """Predicts seconds per batch as `fixed + per_image * n`, scaled to what was seen lately.

    A forward pass of these networks reads all weights once (fixed) and works on every image; two
    measurements give the line, and the ratio of measured to predicted follows the machine's load.
    """

    def __init__(self, fixed_s: float = 0.005, per_image_s: float = 0.001) -> None:
        self._fixed_s = max(1e-6, fixed_s)
        self._per_image_s = per_image_s
        self._load = 1.0
        self.decode_s = 0.0  # of one image; nothing is known yet
        self.delay_s = 0.0  # by which images were later than expected: the event loop's, mostly

    @classmethod
    def through(cls, one_s: float, full_s: float, full: int) -> "CostModel":
        """Fit the line through a batch of 1 and a batch of `full` images, full >= 1."""
        if full < 2:
            return cls(fixed_s=one_s, per_image_s=0.0)
        per_image_s = max(0.0, (full_s - one_s) / (full - 1))
        return cls(fixed_s=one_s - per_image_s, per_image_s=per_image_s)

    def batch_s(self, images: int) -> float:
        """Return the expected seconds of one batch of `images`."""
        return self._load * (self._fixed_s + self._per_image_s * images)

    def total_s(self, images: int, max_batch: int) -> float:
        """Return the expected seconds of `images` computed in batches of at most `max_batch`."""
        full, rest = divmod(images, max_batch)
        return full * self.batch_s(max_batch) + (self.batch_s(rest) if rest else 0.0)

    def observe_decoding(self, seconds: float) -> None:
        """Learn from an image that took `seconds` to decode."""
        self.decode_s += SMOOTHING * (seconds - self.decode_s)

    def observe_delay(self, seconds: float, *, alone: bool) -> None:
        """Learn from an image that was done `seconds` later than was expected of it.

        One that came alone, as a probe does, shows whether the host has caught up.
        """
        weight = 1.0 if alone else SMOOTHING
        self.delay_s += weight * (max(0.0, seconds) - self.delay_s)

    def observe(self, images: int, seconds: float) -> None:
        """Learn from a batch that took `seconds`."""
        ratio = seconds / (self._fixed_s + self._per_image_s * images)
        self._load += SMOOTHING * (min(ratio, MOST_AT_ONCE * self._load) - self._load)
