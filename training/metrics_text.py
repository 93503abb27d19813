"""What `evaluate` prints."""

from model_store.manifest import Metrics


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
