"""The commands as a user types them: what they print, write, and refuse, with which exit code."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from rationale.explanation import FILES
from tests.conftest import ROOT

RATIONALE = [str(Path(sys.executable).with_name("rationale"))]


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RATIONALE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def digit_files(tmp_path: Path, digits: np.ndarray) -> list[Path]:
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"digit {number}.png")
        Image.fromarray(digits[number]).save(paths[-1])
    return paths


def test_one_picture(digit_files: list[Path], tmp_path: Path) -> None:
    done = run("explain", digit_files[0], "--model", "mnist", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    first, sentence, second, third = done.stdout.splitlines()
    assert first == "digit 0.png: 7 (> 99.9 %)"
    assert "a 7" in sentence
    assert second.startswith("  strongest channels of conv2: #")
    assert second.count("#") == 3
    assert third.endswith("heatmap.png, overlay.png, explanation.json, explanation.h5, report.html")
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_a_folder_is_explained_with_the_folders_in_it(digits: np.ndarray, tmp_path: Path) -> None:
    """Pictures of one name are told apart, other files passed over, and results of a run before are not explained."""
    for place, digit in zip(("a/000.png", "b/000.png", "b/c/x.PNG"), digits, strict=False):
        (tmp_path / "photos" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).save(tmp_path / "photos" / place, "PNG")
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / "b" / "back").symlink_to(tmp_path / "photos")  # must not be gone round and round
    for _ in range(2):
        done = run("explain", tmp_path / "photos", "--out", tmp_path / "photos" / "out")
        assert (done.returncode, done.stderr) == (0, "")
        found = sorted(path.parent.relative_to(tmp_path / "photos") for path in tmp_path.rglob("explanation.json"))
        assert [path.as_posix() for path in found] == ["out/a/000", "out/b/000", "out/b/c/x"]
    names = [json.loads((tmp_path / "photos" / path / "explanation.json").read_text())["picture"] for path in found]
    assert names == ["a/000.png", "b/000.png", "b/c/x.PNG"]
    (tmp_path / "empty").mkdir()
    done = run("explain", tmp_path / "empty", "--out", tmp_path / "none")
    assert (done.returncode, done.stderr) == (2, f"rationale: {tmp_path / 'empty'}: holds no pictures\n")


def test_several_pictures_share_one_report(digit_files: list[Path], tmp_path: Path) -> None:
    """A light index of all, from which links lead to the report on each; or one page with everything."""
    done = run("explain", *digit_files, "--out", "out", "--title", "Three digits", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith("3 pictures: 7 1, 2 1, 1 1\n")
    page = (tmp_path / "out" / "report.html").read_text()
    assert ">Three digits</h1>" in page
    assert re.findall(r'<a href="([^"]*)"', page) == [f"digit%20{number}/report.html" for number in range(3)]
    assert "base64" not in page
    for link in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert (tmp_path / "out" / unquote(link)).is_file()
    single = (tmp_path / "out" / "digit 1" / "report.html").read_text()
    assert 'href="../report.html"' in single
    assert shown(tmp_path / "out") == ["digit 0", "digit 1", "digit 2", "report.html"]
    run("explain", *digit_files, "--out", "all", "--portable", cwd=tmp_path)
    assert (tmp_path / "all" / "report.html").read_text().count("<article") == 3


def shown(folder: Path) -> list[str]:
    """What people see in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_results_of_two_runs_are_not_mixed(digit_files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("explain", *digit_files[:2], "--out", out).returncode == 0
    again = run("explain", *digit_files[:2], "--out", out)
    assert "2 of 2 were there already" in again.stdout
    for other in (digit_files, digit_files[:1], [*digit_files[:2], "--full"]):
        refused = run("explain", *other, "--out", out)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "choose another --out, or let it go with --replace" in refused.stderr
        assert shown(out) == ["digit 0", "digit 1", "report.html"]
    assert run("explain", digit_files[2], "--out", out, "--replace").returncode == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    refused = run("explain", *digit_files, "--out", out)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "holds the explanation of one picture" in refused.stderr
    (out / "mine.txt").write_text("stays")
    assert run("explain", *digit_files, "--out", out, "--replace").returncode == 0
    assert shown(out) == ["digit 0", "digit 1", "digit 2", "mine.txt", "report.html"]


def test_pictures_of_one_name_do_not_overwrite_each_other(digit_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / digit_files[0].name
    twin.write_bytes(digit_files[1].read_bytes())
    run("explain", digit_files[0], twin, "--out", tmp_path / "out")
    labels = [
        json.loads((tmp_path / "out" / name / "explanation.json").read_text())["label"]
        for name in ("digit 0", "digit 0-2")
    ]
    assert labels == ["7", "2"]


def test_a_class_is_explained_rather_than_another(digit_files: list[Path], tmp_path: Path) -> None:
    done = run("explain", digit_files[0], "--class", "7", "--against", "2", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 rather than 2" in done.stdout
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert (told["target"], told["against"]) == ("7", "2")
    wrong = run("explain", digit_files[0], "--against", "12", "--out", tmp_path / "wrong")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no class '12'" in wrong.stderr
    assert not (tmp_path / "wrong").exists()


def test_bad_pictures_are_named_and_the_others_explained(digit_files: list[Path], tmp_path: Path) -> None:
    text, empty = tmp_path / "text.png", tmp_path / "empty.png"
    text.write_text("no picture")
    empty.touch()
    bomb = tmp_path / "bomb.png"
    Image.new("1", (40_000, 40_000)).save(bomb)
    (tmp_path / "none").mkdir()
    bad = [tmp_path / "none", text, empty, tmp_path / "missing.png", bomb]
    done = run("explain", digit_files[0], *bad, digit_files[1], "--out", tmp_path / "out")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(bad)
    for line, path in zip(lines, bad, strict=True):
        assert line.startswith(f"rationale: {path}")
    assert done.stdout.count("strongest channels") == 2
    assert (tmp_path / "out" / "report.html").read_text().count("report.html") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nothing"], "there is no model 'nothing'"),
        (["--class", "12"], "no class '12'"),
        (["--composite", "magic"], "no composite is named 'magic'"),
        (["--out", "/dev/null/below"], "cannot be written"),
        (["--gpu", "0"], "GPU 0"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str, digit_files: list[Path]) -> None:
    done = run("explain", digit_files[0], *arguments, cwd=digit_files[0].parent)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_in_an_image_what_cannot_be_written_leads_to_the_doctor(
    digit_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, hinted in (("cpu", True), (None, False)):
        monkeypatch.setenv("RATIONALE_IMAGE", kind) if kind else monkeypatch.delenv("RATIONALE_IMAGE")
        done = run("explain", digit_files[0], "--out", "/dev/null/below")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert ("doctor tells" in done.stderr) == hinted


@pytest.mark.parametrize(
    "arguments", [["explain", "--colour"], ["explain"], ["nothing"], ["explain", "x", "--gpu", "a"]]
)
def test_wrong_usage_is_one_line_and_exit_code_2_too(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_odd_names_do_no_harm(digit_files: list[Path], tmp_path: Path) -> None:
    """Names that are no UTF-8, that the report's own file has, or that stand there twice."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png"))
    taken, twin = tmp_path / "report.html.png", tmp_path / "." / "digit 1.png"
    odd.write_bytes(digit_files[0].read_bytes())
    taken.write_bytes(digit_files[0].read_bytes())
    command = [
        *RATIONALE,
        "explain",
        odd,
        taken,
        digit_files[1],
        f"{tmp_path}/./digit 1.png",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"strongest channels") == 3
    assert (tmp_path / "out" / "report.html").read_text().count("/report.html") == 3
    assert twin.exists()


def test_pictures_named_by_dots_stay_under_out(digit_files: list[Path], tmp_path: Path) -> None:
    """The stem of "...png" is "..", that of "..png" "."."""
    dotted = [tmp_path / name for name in ("...png", "..png", "....png")]
    for path in dotted:
        path.write_bytes(digit_files[0].read_bytes())
    before = sorted(tmp_path.iterdir())
    assert run("explain", *dotted, "--out", tmp_path / "out").returncode == 0
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out"])
    assert shown(tmp_path / "out") == ["picture", "picture-2", "picture-3", "report.html"]


def test_text_that_is_no_utf8_does_no_harm(digit_files: list[Path], tmp_path: Path) -> None:
    """A title, a model's directory and weights named by bytes that are no UTF-8."""
    odd = tmp_path / os.fsdecode(b"bad\xff")
    shutil.copytree(ROOT / "prototxt" / "mnist", odd)
    toml = odd / "model.toml"
    toml.write_text(toml.read_text().replace("../../weights", str(ROOT / "weights")))
    done = run("explain", digit_files[0], "--title", odd.name, "--model", odd, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert ">bad\ufffd</h1>" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "explanation.json").read_text())["settings"]["model"] == "bad\ufffd"
    weights = tmp_path / os.fsdecode(b"bad\xff.caffemodel")
    weights.write_bytes((ROOT / "weights" / "mnist" / "classifier.caffemodel").read_bytes())
    done = run("explain", digit_files[0], "--weights", weights, "--out", tmp_path / "out")
    assert done.returncode in (0, 2)
    assert len(done.stderr.splitlines()) <= 1


def test_a_full_disk_is_one_line(digit_files: list[Path], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RATIONALE, "explain", digit_files[0], "--out", tmp_path / "out"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [*RATIONALE, "explain", digit_files[0], "--class", "0", "--out", tmp_path / "out"],
        capture_output=True,
        env=latin,
    )
    assert done.returncode == 0, done.stderr


def quick_model(folder: Path, last: int) -> Path:
    """The mnist model with a snapshot every 20 updates, and `last` updates in all."""
    model = folder / "mnist"
    model.mkdir()
    for path in (ROOT / "prototxt" / "mnist").iterdir():
        text = path.read_text().replace("../../weights", str(ROOT / "weights"))
        text = text.replace("snapshot: 1000", "snapshot: 20").replace("max_iter: 16000", f"max_iter: {last}")
        (model / path.name).write_text(text)
    return model


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_training_keeps_what_was_done(tmp_path: Path, kind: signal.Signals) -> None:
    command = [*RATIONALE, "train", "classifier", "--model", quick_model(tmp_path, 5000), "--out", tmp_path / "out"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs ignore it, and pass that on
    )
    progress = tmp_path / "out" / "progress.json"
    wait_for(progress)
    before = json.loads(progress.read_text())["iteration"]
    time.sleep(0.3)
    running.send_signal(kind)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "goes on where it stopped" in said
    assert json.loads(progress.read_text())["iteration"] > before


def test_verbose_shows_caffes_log(digit_files: list[Path], tmp_path: Path) -> None:
    quiet = run("explain", digit_files[0], "--out", tmp_path / "out")
    assert quiet.stderr == ""
    for place in (0, 1, 2):  # before the command, and anywhere after it
        for option in ("-v", "--verbose"):
            arguments = ["explain", digit_files[0], "--out", tmp_path / "out"]
            arguments.insert(place, option)
            assert "Network initialization done" in run(*arguments).stderr
    (tmp_path / "-v").write_bytes(digit_files[0].read_bytes())
    named = run("explain", "--out", tmp_path / "out", "--", "-v", cwd=tmp_path)
    assert (named.stdout.startswith("-v: 7"), named.stderr) == (True, "")


def test_export_list_models_doctor_version(tmp_path: Path) -> None:
    assert "wrote 20 pictures" in run("data", "export", "mnist", "--each", 2, "--out", tmp_path / "d").stdout
    assert len(list((tmp_path / "d").glob("*.png"))) == 20
    assert "LeCun" in run("data", "list").stdout
    assert run("data", "fetch", "mnist").returncode == 0
    assert run("data", "fetch", "nothing").returncode == 2
    assert "mnist: LeNet on MNIST" in run("models").stdout
    doctor = run("doctor")
    assert doctor.returncode == 0
    assert "BAD" not in doctor.stdout
    assert run("--version").stdout.startswith("rationale 0.")
    assert run("explain", "--version").stdout.startswith("rationale 0.")


def test_training_goes_on_after_a_kill(tmp_path: Path) -> None:
    """kill −9 between two snapshots; the same command then ends with weights like an uninterrupted run's."""
    model = quick_model(tmp_path, 60)
    command = [*RATIONALE, "train", "classifier", "--model", str(model), "--out"]
    killed = subprocess.Popen(
        [*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    progress = tmp_path / "killed" / "progress.json"
    wait_for(progress)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert json.loads(progress.read_text())["iteration"] in (20, 40)
    assert not (tmp_path / "killed" / "classifier.caffemodel").exists()
    assert run(*command[1:], tmp_path / "parts", "--iterations", 33).returncode == 0
    for name in ("killed", "parts", "whole"):
        done = run(*command[1:], tmp_path / name)
        assert done.returncode == 0, done.stderr
    names = ("killed", "parts", "whole")
    resumed, in_parts, whole = ((tmp_path / name / "classifier.caffemodel").read_bytes() for name in names)
    assert resumed == whole
    assert in_parts == whole


def test_batch_heatmaps_are_what_explain_gives(tmp_path: Path, digit_files: list[Path]) -> None:
    """Covered for all pictures in tests/batch; here only that the command refuses what it must."""
    wrong = tmp_path / "other.h5"
    wrong.write_text("not HDF5")
    for arguments in (["--out", wrong], ["--out", tmp_path], ["--split", "nothing"], ["--composite", "magic"]):
        done = run("batch", "heatmaps", *arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    assert wrong.read_text() == "not HDF5"


def test_compare_draws_one_picture_under_every_composite(digit_files: list[Path], tmp_path: Path) -> None:
    done = run("compare", digit_files[0], "--baselines", "--class", "7", "--out", tmp_path / "new" / "c.png")
    assert (done.returncode, done.stderr) == (0, "")
    told, *said, wrote = done.stdout.splitlines()
    assert len(said) == 1
    assert "a 7" in said[0]
    assert told == "digit 0.png: 7 (> 99.9 %). Red speaks for 7, blue against it."
    assert wrote == f"wrote {tmp_path / 'new' / 'c.png'}"
    assert Image.open(tmp_path / "new" / "c.png").width > 900
    refused = run("compare", digit_files[0], "--out", digit_files[1] / "c.png")
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr
    before = digit_files[0].read_bytes()
    refused = run("compare", digit_files[0], "--out", digit_files[0])
    assert (refused.returncode, "would be overwritten" in refused.stderr) == (2, True)
    assert digit_files[0].read_bytes() == before


def test_evaluating_heatmaps_measures_draws_and_goes_on(tmp_path: Path) -> None:
    """A part of the whole must not get into the documents."""
    results = ROOT / "docs" / "results.md"
    before = results.read_bytes()
    asked = ["evaluate", "heatmaps", "--pictures", "4", "--steps", "3", "--no-random-labels", "--out", tmp_path]
    asked += ["--method", "epsilon-plus", "--method", "gradient"]
    done = run(*asked)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["methods"]) == {"epsilon-plus", "gradient"}
    assert figures["chosen"] == "epsilon-plus"
    for name in ("aopc-morf", "aopc-lerf", "flipping", "localisation", "random-network-lrp", "sanity"):
        assert (tmp_path / f"mnist-{name}.png").stat().st_size > 5000
    assert results.read_bytes() == before
    measured = {path: path.stat().st_mtime_ns for path in tmp_path.glob("test-*.json")}
    assert run(*asked).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in measured} == measured
    assert run("evaluate", "heatmaps", "--method", "magic", "--out", tmp_path, "--no-random-labels").returncode == 2


def test_evaluating_a_classifier(tmp_path: Path) -> None:
    done = run("evaluate", "classifier", "--model", "mnist", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    first, second, *written = done.stdout.splitlines()
    assert first.startswith("accuracy 99.43% (")
    assert second.endswith("10000 pictures")
    assert [Path(line.removeprefix("wrote ")).exists() for line in written] == [True] * 3


def test_a_class_without_pictures_is_null_in_json(tmp_path: Path, digits: np.ndarray) -> None:
    """As `NaN` it would be no JSON, and other programs could not read the file."""
    for number, digit in enumerate(digits[:20]):
        for split in ("train", "val", "test"):
            place = tmp_path / "photos" / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digit).save(place / f"{number}.png")
    shutil.rmtree(tmp_path / "photos" / "test" / "b")
    model = tmp_path / "model"
    assert run("train", "new", model, "--dataset", tmp_path / "photos", "--like", "mnist").returncode == 0
    done = run("train", "classifier", "--model", model, "--out", model, "--iterations", 1)
    assert done.returncode == 0, done.stderr
    done = run("evaluate", "classifier", "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    figures = json.loads((tmp_path / "out" / "classifier.json").read_text(), parse_constant=refuse)
    assert figures["by_class"]["b"] is None
    assert figures["by_class"]["a"] is not None


def test_data_commands(tmp_path: Path) -> None:
    listed = run("data", "list").stdout
    for name in ("mnist", "flight", "cub", "cub-22", "imagenet"):
        assert f"\n{name}: " in f"\n{listed}"
    assert "licence" in listed
    assert "cite" in listed
    checked = run("data", "fetch", "mnist", "--check")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("mnist is in ")
    written = run("data", "database", "--model", "mnist", "--split", "test", "--out", tmp_path)
    assert written.returncode == 0, written.stderr
    assert "test.txt" in written.stdout
    assert (tmp_path / "SHA256SUMS").exists()
    for arguments in (["fetch", "nothing"], ["convert-fgvc", tmp_path, "--out", tmp_path / "x"]):
        refused = run("data", *arguments)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1


def test_photographs_of_any_size_are_explained_by_the_models_that_ship(tmp_path: Path) -> None:
    for name in ("cub", "flight"):
        weights = ROOT / "weights" / name / "classifier.caffemodel"
        assert weights.stat().st_size < 4_000_000
        picture = tmp_path / f"{name}.png"
        gradient = np.add.outer(np.arange(90), np.arange(211))[..., None] * np.array([0.8, 0.5, 0.3])
        Image.fromarray(gradient.astype(np.uint8)).save(picture)
        done = run("explain", picture, "--model", name, "--out", tmp_path / name)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / name / "report.html").exists()


def test_results_do_not_overwrite_the_picture(digit_files: list[Path], tmp_path: Path) -> None:
    picture = tmp_path / "heatmap.png"
    digit_files[0].rename(picture)
    before = picture.read_bytes()
    done = run("explain", picture, "--out", tmp_path)
    assert done.returncode == 2
    assert "heatmap.png: would be overwritten by the results; choose another --out" in done.stderr
    assert picture.read_bytes() == before


def test_other_weights_of_a_classifier(digit_files: list[Path], tmp_path: Path) -> None:
    shipped = ROOT / "weights" / "mnist" / "classifier.caffemodel"
    copy = tmp_path / "mine.caffemodel"
    copy.write_bytes(shipped.read_bytes())
    done = run("explain", digit_files[0], "--weights", copy, "--out", tmp_path / "out")
    assert done.stdout.startswith("digit 0.png: 7 (> 99.9 %)")
    done = run("explain", digit_files[0], "--weights", tmp_path / "none", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (2, f"rationale: {tmp_path / 'none'}: no such file of weights\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "heatmaps", "--threads", "100000"),
        ("train", "classifier", "--seed", "4294967296"),
        ("explain", "x.png", "--class", "9" * 5000),
    ],
)
def test_numbers_beyond_all_bounds_are_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("rationale: ")
    assert done.stderr.count("\n") == 1


def test_batch_takes_a_folder_and_lists_what_cannot_be_read(digit_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for path in digit_files:
        shutil.copy(path, tmp_path / "in")
    done = run("batch", "heatmaps", "--images", tmp_path / "in", "--out", tmp_path / "out.h5")
    assert (done.returncode, done.stdout) == (0, f"wrote {tmp_path / 'out.h5'}: 3 pictures\n")
    bad = [tmp_path / "in" / name for name in ("a.jpg", "b.heic", "z.png")]
    for path in bad:
        path.write_bytes(b"no picture")
    done = run("batch", "heatmaps", "--images", tmp_path / "in", "--out", tmp_path / "other.h5")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [str(path) for path in bad]
    assert "pillow-heif" in done.stderr
    assert not (tmp_path / "other.h5").exists()
    both = run("batch", "heatmaps", "--images", tmp_path / "in", "--split", "test")
    assert (both.returncode, both.stdout) == (2, "")
