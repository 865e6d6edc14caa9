"""Data flows one way: a room imports only the rooms before it, and only `network` imports Caffe."""

import ast
import re
from pathlib import Path

import rationale
from tests.conftest import ROOT

PACKAGE = Path(rationale.__file__).parent

# docs/architecture.md draws the same order.
ROOMS = [
    "version",
    "errors",
    "cores",
    "resources",
    "fetching",
    "images",
    "network",
    "lrp",
    "gradients",
    "render",
    "explainer",
    "consistency",
    "explanation",
    "description",
    "model",
    "datasets",
    "evaluation",
    "batch",
    "units",
    "captions",
    "counterfactual",
    "training",
    "doctor",
    "reproduce",
    "visualizer",
    "cli",
]


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += (
                [f"rationale.{alias.name}" for alias in node.names] if node.module == "rationale" else [node.module]
            )
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def rooms_and_imports() -> list[tuple[str, Path, str]]:
    rows = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            rows += [(room, path, module) for module in imports(path)]
    return rows


def test_every_room_imports_only_rooms_before_it() -> None:
    wrong = []
    for room, path, module in rooms_and_imports():
        parts = module.split(".")
        if parts[0] == "rationale" and (len(parts) == 1 or ROOMS.index(parts[1]) > ROOMS.index(room)):
            wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong


def test_only_network_imports_caffe() -> None:
    assert {room for room, _, module in rooms_and_imports() if module.split(".")[0] == "caffe"} <= {"network"}
    literal = [path for path in PACKAGE.rglob("*.py") if '"caffe' in path.read_text()]
    assert {path.parent.name for path in literal} == {"network"}


def test_no_deep_learning_framework_at_run_time() -> None:
    frameworks = {"torch", "tensorflow", "jax", "keras"}
    assert not {module for _, _, module in rooms_and_imports() if module.split(".")[0] in frameworks}


def test_the_guide_for_contributors_names_files_that_are_there() -> None:
    """Who adds a rule, layer, data set or view looks there first; moved code must move there too."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:data|docker|docs|prototxt|python|tests|weights)/[\w./-]*)`", text))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_picture_in_the_documents_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert [room for room in ROOMS if f"`{room}" not in text] == []
