"""Holds what the locked requirements promise: hashes for everything, addresses of nothing."""

import re
import shutil
import tomllib

import pytest
from commands import ROOT, run

LOCKS = ("serve", "train", "gpu", "tracing", "cluster", "dev", "tools", "kserve", "storage")

# In pieces, so that this file does not name what it forbids.
REGISTRIES = [
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "npm" + r"js\.(org|com)",
    "deb" + r"ian\.org",
    "conda" + r"\.anaconda\.org",
]


def entries(name: str) -> list[str]:
    """The lock's requirements, each with its continuation lines joined."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def pins(name: str) -> dict[str, str]:
    return dict(entry.split()[0].split("==") for entry in entries(name))


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    serve = project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    train = serve + extras["training"]
    return {
        "serve": serve,
        "train": train,
        "gpu": train + extras["gpu"],
        "tracing": serve + extras["tracing"],
        "cluster": train + extras["cluster"],
        "dev": train + extras["tracing"] + extras["test"],
        **project["dependency-groups"],
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_exact_versions_with_hashes_and_nothing_else(name):
    wrong = [
        entry
        for entry in entries(name)
        if not re.fullmatch(
            r"[a-z0-9][a-z0-9.-]*==[^\s;]+( ; [^\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", entry
        )
    ]

    assert len(entries(name)) >= (1 if name == "storage" else 20)
    assert wrong == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_every_declared_dependency(name):
    wanted = {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in declared()[name]}

    assert wanted - set(pins(name)) == set()


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("serve", "train"),
        ("train", "gpu"),
        ("serve", "tracing"),
        ("train", "cluster"),
        ("train", "dev"),
        ("tracing", "dev"),
    ],
)
def test_larger_locks_hold_the_smaller_ones_at_the_same_versions(smaller, larger):
    assert pins(smaller).items() <= pins(larger).items()


def test_the_serving_lock_has_no_training_library():
    assert {"tensorflow", "keras", "matplotlib", "scikit-learn", "pytest"} & set(
        pins("serve")
    ) == set()


def test_no_file_of_the_project_names_a_package_registry():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = run("git", "grep", "-nIE", "|".join(REGISTRIES))

    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.splitlines() == []
