"""How resolution and augmentation were chosen, and what the network is worth beside others."""

from typing import Any

from model_store.comparing import sentence
from model_store.manifest import Candidate, Selection
from training.record import RunRecord
from training.report.plots import losses_over_inputs

_REFINED = "resolution"  # how the stages that compare resolutions begin


def choice(record: RunRecord) -> dict[str, Any]:
    """Return the chosen size of the inputs, every candidate, and loss over resolution."""
    settings, selection = record.settings, record.settings.selection
    if selection is None or not selection.candidates:
        return {"selection": None, "size": _size(record, settings.pool)}
    return {
        "selection": selection,
        "size": _size(record, selection.pool),
        "curve": _curve(record, selection),
        "tried": [
            (one, one.stage.partition(",")[0], _size(record, one.pool), _spread(one))
            for one in selection.candidates
        ],
    }


def comparisons(record: RunRecord) -> dict[str, Any]:
    """Return much simpler models, and the comparison with the version that served in words."""
    compared = record.comparison
    return {"simpler": record.baselines, "before": sentence(compared) if compared else None}


def _curve(record: RunRecord, selection: Selection) -> dict[str, Any] | None:
    refined = [one for one in selection.candidates if one.stage.startswith(_REFINED)]
    if len(refined) < 2:
        return None
    points = sorted(refined, key=lambda one: -one.pool)
    sizes = [_size(record, one.pool) for one in points]
    drawn = losses_over_inputs(
        sizes,
        [one.loss for one in points],
        [one.loss_error for one in points],
        chosen=[one.pool for one in points].index(selection.pool),
        alt="Validation loss over the number of block means",
    )
    told = [f"{size}: {_spread(one)}" for size, one in zip(sizes, points, strict=True)]
    return {"svg": drawn, "told": "; ".join(told)}


def _spread(one: Candidate) -> str:
    return f"{one.loss:.4f} ± {one.loss_error:.4f}"


def _size(record: RunRecord, pool: int) -> str:
    return f"{record.spec.height // pool} × {record.spec.width // pool}"
