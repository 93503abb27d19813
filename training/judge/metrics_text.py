"""What `evaluate` prints."""

from collections.abc import Iterator

from model_store.manifest import Metrics
from training.judge.evaluate import Evaluation


def describe_evaluation(evaluation: Evaluation, wrong: int) -> Iterator[str]:
    """Yield the figures of unseen images, those of seen ones apart, and files got wrong."""
    if evaluation.unseen is None:
        yield (
            "The model was trained on every one of these images: they say nothing of how it does "
            "on others."
        )
    else:
        yield describe(evaluation.unseen)
    if not evaluation.knows_its_images:
        yield "This bundle does not say which images it was trained on; some may be among these."
    if (seen := evaluation.seen) is not None:
        yield (
            f"trained on: {seen.images} of the images, accuracy {seen.accuracy:.4f} on them, which "
            "counts for nothing"
        )
    for one in evaluation.wrong[:wrong]:
        yield f"wrong: {one.name} is {one.truth}, answered {one.answer} ({one.probability:.1%})"


def describe(metrics: Metrics) -> str:
    """Return accuracy, the per-class table and the confusion matrix as plain text."""
    width = max(len(row.label) for row in metrics.per_class)
    lines = [
        f"accuracy {metrics.accuracy:.4f}  balanced {metrics.balanced_accuracy:.4f}  "
        f"majority {metrics.majority_share:.4f}  loss {metrics.loss:.4f}  "
        f"calibration error {metrics.ece:.4f}  ({metrics.images} images)",
        "",
        f"{'label':<{width}}  precision  recall      f1  images",
    ]
    lines += [
        f"{row.label:<{width}}  {row.precision:>9.4f}  {row.recall:>6.4f}  {row.f1:>6.4f}  "
        f"{row.support:>6}"
        for row in metrics.per_class
    ]
    lines += ["", "confusion (rows: true, columns: predicted)"]
    columns = max(len(str(n)) for row in metrics.confusion for n in row)
    lines += [
        f"{row.label:<{width}}  {' '.join(f'{n:>{columns}}' for n in counts)}"
        for row, counts in zip(metrics.per_class, metrics.confusion, strict=True)
    ]
    return "\n".join(lines)
