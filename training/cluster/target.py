"""The answers, in files of Parquet that are written whole: they are the checkpoints too.

    _model.json                  which version answers about which images; written first
    part-….parquet               the rows of some images

A part is named after its images: whoever scores them again, because a node died before it could
say that it had, writes the same file again.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from model_store.inference import Prediction
from model_store.store.location import is_bucket
from training.cluster.job import Job
from training.cluster.places import Place, place
from training.errors import ClusterError, TargetRefused
from training.judge.predict import header, row_of

_MARK = "_model.json"  # readers of Parquet pass over names that begin with _
_PREFIX, _SUFFIX = "part-", ".parquet"
_READERS = 8


def begin(job: Job) -> set[str]:
    """Mark TARGET as begun; or see that it was begun by the same job, and return the paths in it.

    Raises:
        TargetRefused: it is no folder, or holds something else.
    """
    if not is_bucket(job.target):
        _make(Path(job.target))
    target = place(job.target)
    names = list(target.names())
    mark = target.read(_MARK)
    if mark is None and names:
        raise TargetRefused(f"Expected an empty folder. Received: {job.target}, with {names[0]}")
    if mark is None:
        target.write(_MARK, job.mark)
    elif mark != job.mark:
        raise TargetRefused(f"{_difference(mark, job)}. Give another target")
    parts = [name for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
    with ThreadPoolExecutor(_READERS) as pool:
        return set().union(*pool.map(lambda part: _paths(target, part), parts))


def require_begun(job: Job) -> None:
    """See that this node writes to where the driver does.

    Raises:
        ClusterError: it sees another folder of that name.
    """
    if place(job.target).read(_MARK) != job.mark:
        raise ClusterError(f"{job.target} is not the same folder on every node")


def write_part(
    target: Place, names: Sequence[str], rows: Collection[Prediction], labels: Sequence[str]
) -> None:
    """Write the rows of images, the same columns as those of `predict`; null for its empty ones.

    Args:
        target: where to.
        names: printable, of the images.
        rows: what became of each.
        labels: of the model.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns = header(labels)
    texts = {columns[0], columns[1], columns[-1]}  # path, label, error
    schema = pa.schema([(c, pa.string() if c in texts else pa.float32()) for c in columns])
    filled = (row_of(name, row, labels) for name, row in zip(names, rows, strict=True))
    values = [[None if value == "" else value for value in row] for row in filled]
    table = pa.table(dict(zip(columns, zip(*values, strict=True), strict=True)), schema)
    data = BytesIO()
    parquet.write_table(table, data)
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
    target.write(f"{_PREFIX}{digest}{_SUFFIX}", data.getvalue())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise TargetRefused(f"Expected a folder or a bucket. Received: {folder}") from error


def _difference(mark: bytes, job: Job) -> str:
    try:
        begun, now = json.loads(mark), json.loads(job.mark)
        kind = next(kind for kind in now if begun[kind] != now[kind])
    except (ValueError, LookupError, TypeError, StopIteration):
        return f"{job.target} holds a {_MARK} that this command did not write"
    return (
        f"{job.target} was begun with {kind} {begun[kind]} of {begun['name']}. "
        f"Received: {kind} {now[kind]}"
    )


def _paths(target: Place, part: str) -> Sequence[str]:
    from pyarrow import parquet

    data = target.read(part)
    if data is None:  # another run removed it
        return ()
    paths: Sequence[str] = parquet.read_table(BytesIO(data), columns=["path"])["path"].to_pylist()
    return paths
