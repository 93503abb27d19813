"""What the documentation names exists, and what exists is documented."""

import re

import pytest
from commands import ROOT
from typer.main import get_command

from app.http.problems import TABLE
from app.main import create_app
from app.settings import ELSEWHERE, Settings, variable
from benchmarks.report import NoSection, comparison, everything, rewrite
from model_store.__main__ import app as store_commands
from model_store.spec import ALL_FORMATS
from training.__main__ import app as training_commands

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVING = (ROOT / "docs" / "serving.md").read_text()
SETTINGS = {variable(name): field for name, field in Settings.model_fields.items()}
COMMANDS = {
    "training": get_command(training_commands).commands,
    "model_store": get_command(store_commands).commands,
}
# What the framework refuses by itself, and what no row names.
FRAMEWORKS = {
    ("404", "not_found"),
    ("405", "method_not_allowed"),
    ("500", "internal_error"),
}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def section(title: str) -> str:
    return SERVING.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_setting_is_in_the_reference_with_its_default():
    rows = dict(re.findall(r"^\| `(HALFTONE_\w+)` \| ([^|]+) \|", section("Settings"), re.M))
    stated = {name: "unset" if value == "unset" else value[1:-1] for name, value in rows.items()}
    true = {
        name: "unset" if field.default in (None, ()) else str(field.default)
        for name, field in SETTINGS.items()
    }

    assert stated == true


def test_every_problem_is_in_the_reference_with_its_status():
    stated = re.findall(r"^\| (\d{3}) \| `(\w+)` \| \S", section("Errors"), re.M)
    true = {(str(row.status), row.code) for row in TABLE.values()} | FRAMEWORKS

    assert len(set(stated)) == len(stated)
    assert set(stated) == true


def test_every_route_is_in_the_reference_and_no_other():
    paths = create_app(Settings()).openapi()["paths"]
    true = {
        f"{method.upper()} {path}" for path, operations in paths.items() for method in operations
    } | {"GET /", "GET /docs", "GET /openapi.json"}
    stated = set()
    for cell in re.findall(r"^\| `([^|]+)` \|", section("Routes"), re.M):
        method, _, rest = cell.partition(" ")
        stated |= {f"{method} {path}" for path in rest.split("`, `")}

    assert stated <= true
    assert {_shortest(route) for route in true} <= stated


def _shortest(route: str) -> str:
    """Return the row that stands for a route; a name or a version may come before its end."""
    if re.fullmatch(r"POST /models/.*/predict", route):
        return route
    route = re.sub(r"^POST /models/\{name\}(/versions/\{version\})?", "POST ", route)
    return route.replace("/versions/{version}", "")


@every_page
def test_every_variable_that_a_page_names_is_a_setting(page):
    named = set(re.findall(r"HALFTONE_[A-Z_]*[A-Z]", page.read_text()))

    assert named <= SETTINGS.keys() | ELSEWHERE


@every_page
def test_every_command_and_flag_that_a_page_names_exists(page):
    wrong = []
    for package, command, rest in _calls(page.read_text()):
        if command not in COMMANDS[package]:
            wrong.append(f"{package} {command}")
            continue
        options = COMMANDS[package][command].params
        known = {name for option in options for name in option.opts}
        wrong += [
            f"{command} {flag}"
            for flag in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)
            if flag not in known | {"--help"}
        ]

    assert wrong == []


def _calls(text: str) -> list[tuple[str, str, str]]:
    """Return package, command and the rest of every call in a page, in blocks or in a line."""
    whole = text.replace("\\\n", " ")
    found = re.findall(r"python -m (training|model_store) (\w+)([^`\n]*)", whole)
    for package, commands in COMMANDS.items():
        found += [
            (package, command, rest)
            for command, rest in re.findall(rf"`({'|'.join(commands)}) (--[^`\n]*)`", whole)
        ]
    return found


def test_calls_are_found_in_the_pages():
    found = [call for page in PAGES for call in _calls(page.read_text())]

    assert {command for _, command, _ in found} >= {"fit", "check", "verify", "import"}
    assert any("--without-images" in rest for _, _, rest in found)


@every_page
def test_every_file_that_a_page_names_is_there(page):
    rooms = "benchmarks|deploy|docs|examples|requirements|scripts|tests"
    named = re.findall(rf"(?<![\w/.-])(?:{rooms})/[\w./-]*\w", page.read_text())
    readers_own = {"deploy/monitoring/keys", "deploy/monitoring/keys/halftone"}

    assert {name for name in named if not (ROOT / name).exists()} <= readers_own


@pytest.mark.parametrize("name", ["README.md", "docs/serving.md", "docs/security.md"])
def test_pages_list_the_formats_that_are_decoded(name):
    text = " ".join((ROOT / name).read_text().split())
    lists = re.findall(r"JPEG, PNG, [\w, ]+? (?:and|or) \w+", text)

    assert lists
    for stated in lists:
        assert re.split(", | AND | OR ", stated.upper()) == list(ALL_FORMATS)


@every_page
def test_every_link_leads_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in _anchors(file.read_text())):
            broken.append(target)

    assert broken == []


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_links_to_every_page_and_stays_short():
    readme = (ROOT / "README.md").read_text()

    for page in sorted((ROOT / "docs").glob("*.md")):
        assert f"(docs/{page.name})" in readme
    assert len(readme.splitlines()) <= 200


def test_readme_opens_with_a_picture_small_enough_for_everybody():
    opening = (ROOT / "README.md").read_text().partition("\n## ")[0]
    (name,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", opening)
    picture = (ROOT / name).read_bytes()

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 300_000


@pytest.mark.parametrize(
    ("name", "section"), [("README.md", comparison), ("benchmarks/README.md", everything)]
)
def test_sections_of_figures_are_what_the_stored_results_give(name, section):
    page = (ROOT / name).read_text(encoding="utf-8")

    assert rewrite(page, section(ROOT / "benchmarks" / "results")) == page


def test_a_page_without_markers_for_figures_is_refused():
    with pytest.raises(NoSection, match="markers|without"):
        rewrite("# A page", "")
