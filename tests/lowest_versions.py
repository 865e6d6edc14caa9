"""Tries Rationale with the oldest versions that pyproject.toml allows, in a virtual environment of its own.

    python tests/lowest_versions.py WHEEL    (pycaffe's, as docker/caffe/build.py prints it)

The environment is out/lowest. Nothing but what Rationale, its cluster, its page and its charts ask for is there, and
what the tests want.
"""

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "out" / "lowest"
PYTHON = HOME / "bin" / "python"
# What meets the libraries: pictures, figures, pages and their server, HDF5, statistics, Dask, and the command line.
SMOKE = (
    *("tests/test_images.py", "tests/test_explanation.py", "tests/render", "tests/evaluation/test_estimate.py"),
    *("tests/evaluation/test_classification.py", "tests/datasets/test_folder.py", "tests/batch/test_databases.py"),
    *("tests/visualizer/test_server.py", "tests/visualizer/test_look.py"),
    "tests/batch/test_heatmaps.py::test_workers_give_the_same_file_bit_for_bit_though_one_is_killed",
    *(
        f"tests/test_cli.py::{name}"
        for name in (
            "test_several_pictures_share_one_report",
            "test_bad_pictures_are_named_and_the_others_explained",
            "test_a_mistake_is_one_line_and_exit_code_2",
            "test_wrong_usage_is_one_line_and_exit_code_2_too",
            "test_a_signal_while_training_keeps_what_was_done",
            "test_verbose_shows_caffes_log",
            "test_export_list_models_doctor_version",
        )
    ),
)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cluster"], *extras["web"]]
    wanted += [each for each in extras["dev"] if each.startswith(("httpx", "matplotlib", "pytest"))]
    if not PYTHON.exists():
        venv.create(HOME, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lowest = [floor(each) for each in wanted]
    print(f"installing {', '.join(lowest)}", flush=True)
    steps = [
        [*pip, *lowest],
        [*pip, "--no-deps", "--force-reinstall", sys.argv[1]],
        [*pip, "--no-deps", "--editable", str(ROOT)],
        # Warnings are of libraries about each other's later versions.
        [str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *SMOKE],
    ]
    return next((code for step in steps if (code := subprocess.run(step, cwd=ROOT).returncode)), 0)


def floor(requirement: str) -> str:
    """The oldest version that a requirement like "numpy>=2.0" allows: "numpy==2.0"."""
    found = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
    if found is None:
        raise SystemExit(f"pyproject.toml: {requirement!r} names no oldest version; write NAME>=VERSION")
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    sys.exit(main())
