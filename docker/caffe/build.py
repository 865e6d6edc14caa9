"""Fetches the pinned Caffe source, patches it, builds a pycaffe wheel and caches it.

    python build.py packages          install (as root) or name (otherwise) the Debian packages that are missing
    python build.py wheel             print the wheel's path, building it first unless the cache has it
    python build.py key               print the hash of everything the wheel is built from

Where CAFFE_WHEEL=PLACE#sha256=HASH is set, a path or an address, `wheel` takes that wheel instead of building one
(`make wheels` makes such wheels), and `packages` wants no libraries. With CUDA=1 the wheel is for NVIDIA's cards too,
those of CUDA_ARCHITECTURES (such as "80 90"; those in source.toml if it is not set); CUDA itself comes from Python's
index. Runs on the standard library alone: it is the first thing a fresh machine executes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = tomllib.loads((HERE / "source.toml").read_text())
SUPPORTED = ((3, 11), (3, 12), (3, 13))
GIVEN = "CAFFE_WHEEL"  # an environment variable
CUDA, ARCHITECTURES = "CUDA", "CUDA_ARCHITECTURES"  # environment variables
RECIPE = "RECIPE"  # file of a wheel's metadata that holds `recipe_key`


class BuildError(Exception):
    """What went wrong and what to do about it, in one message."""


def say(message: str) -> None:
    print(f"caffe: {message}", file=sys.stderr, flush=True)


def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rationale" / "caffe"


# ---- what the wheel depends on ---------------------------------------------------------------------------------------


def build_key() -> str:
    """Hash of the recipe, the Python version, the processor and the Debian release."""
    digest = recipe()
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    where = (sys.version_info[:2], platform.machine(), release.get("ID"), release.get("VERSION_ID"))
    digest.update(repr(where).encode())
    if cards := architectures():
        digest.update(repr(cards).encode())
    return digest.hexdigest()[:16]


def architectures() -> list[str]:
    """Compute capabilities of the cards to build for, without their dots, in order; none: for the CPU."""
    if os.environ.get(CUDA, "0") in ("", "0"):
        return []
    wanted = re.split(r"[\s,;]+", os.environ.get(ARCHITECTURES, "").strip()) if os.environ.get(ARCHITECTURES) else []
    chosen = sorted(set(wanted or SOURCE["cuda"]["architectures"]), key=lambda each: (len(each), each))
    if wrong := [each for each in chosen if not re.fullmatch(r"7[5-9]|[89]\d|1[0-2]\d", each)]:
        raise BuildError(f"{ARCHITECTURES}: {wrong[0]!r} is no card of CUDA 13; write for example 75, 80, 90 or 120")
    return chosen


def recipe() -> hashlib._Hash:
    """Digest of our build files, patches and pins: what Caffe does, wherever it is built."""
    digest = hashlib.sha256()
    for path in [HERE / "CMakeLists.txt", HERE / "pyproject.toml", HERE / "source.toml", *patches()]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest


def recipe_key() -> str:
    return recipe().hexdigest()[:16]


def patches() -> list[Path]:
    return sorted((HERE / "patches").glob("*.patch"))


# ---- system packages -------------------------------------------------------------------------------------------------


def needed_packages() -> list[str]:
    needed = []
    if not os.environ.get(GIVEN):
        lines = (HERE / "debian-packages.txt").read_text().splitlines()
        needed += [line for line in lines if line and not line.startswith("#")]
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            needed.append("python3-dev")
    if importlib.util.find_spec("ensurepip") is None:
        needed.append("python3-venv")
    return needed


def missing_packages() -> list[str]:
    needed = needed_packages()
    query = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *needed]
    lines = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    installed = {line.split()[0] for line in lines if line.endswith(" installed")}
    return [name for name in needed if name not in installed]


def ensure_packages() -> None:
    check_python()
    if shutil.which("dpkg-query") is None:
        say("this is not Debian: install the equivalents of docker/caffe/debian-packages.txt yourself")
        return
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0:
        raise BuildError(f"libraries are missing; run: sudo apt-get install -y {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(["apt-get", "update"], "apt-get update", environment)
    run_logged(["apt-get", "install", "-y", "--no-install-recommends", *missing], "apt-get install", environment)


def check_python() -> None:
    if sys.version_info[:2] not in SUPPORTED:
        raise BuildError(
            f"Python {platform.python_version()} is not supported: use 3.11 (Debian 12) or 3.13 (Debian 13), "
            "for example with: make PYTHON=/usr/bin/python3"
        )


def check_boost_python() -> None:
    """Debian builds Boost.Python for its own Python only."""
    tag = f"{sys.version_info.major}{sys.version_info.minor}"
    found = sorted(path.name for path in Path("/usr/lib").rglob("libboost_python3*.so"))
    if found and f"libboost_python{tag}.so" not in found:
        raise BuildError(
            f"Boost.Python here is {found[0]}, but this is Python {platform.python_version()}: "
            "use the system's own Python, for example with: make PYTHON=/usr/bin/python3"
        )


# ---- source ----------------------------------------------------------------------------------------------------------


def fetch_source(work: Path) -> Path:
    """Returns the unpacked, verified tree; tries a Debian mirror, then Caffe's own repository."""
    failures = []
    for name, fetch in (("Debian source package", fetch_from_debian), ("Caffe's repository", fetch_from_forge)):
        tree = work / "source"
        shutil.rmtree(tree, ignore_errors=True)
        try:
            say(f"fetching {SOURCE['version']} ({name})")
            fetch(work, tree)
            verify_tree(tree)
            return tree
        except (BuildError, OSError) as error:
            failures.append(f"{name}: {error}")
    raise BuildError("the pinned source could not be fetched.\n  " + "\n  ".join(failures))


def fetch_from_debian(work: Path, tree: Path) -> None:
    pin = SOURCE["debian"]
    if shutil.which("apt-get") is None:
        raise BuildError("apt-get is not here")
    for folder in ("lists/partial", "archives/partial", "sources"):
        (work / "apt" / folder).mkdir(parents=True, exist_ok=True)
    # [trusted=yes] and an expired index are harmless here: the tarball is checked against our own SHA-256.
    entries = [f"deb-src [trusted=yes] {mirror} {pin['suite']} main" for mirror in debian_mirrors()]
    failures = []
    for number, entry in enumerate(entries):
        (work / "apt" / "sources" / "caffe.list").write_text(entry + "\n")
        options = [
            f"-oDir::State::Lists={work}/apt/lists",
            f"-oDir::Cache={work}/apt",
            f"-oDir::Etc::SourceParts={work}/apt/sources",
            "-oDir::Etc::SourceList=/dev/null",
            "-oAcquire::Check-Valid-Until=false",
            "-oAPT::Sandbox::User=",
            "-oDebug::NoLocking=1",
        ]
        try:
            run_logged(["apt-get", *options, "update"], "apt-get update", cwd=work)
            run_logged(["apt-get", *options, "source", "--download-only", pin["package"]], "apt-get source", cwd=work)
            break
        except BuildError as error:
            failures.append(str(error))
            if number == len(entries) - 1:
                raise BuildError("; ".join(failures)) from error
    tarball = work / pin["tarball"]
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != pin["sha256"]:
        raise BuildError(f"{tarball.name} has SHA-256 {found}, not {pin['sha256']}")
    tree.mkdir()
    run_logged(["tar", "-xf", str(tarball), "-C", str(tree)], "tar")


def debian_mirrors() -> list[str]:
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(ORIGIN)|$(LABEL)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split("|") for line in listing.splitlines()]
    mirrors = [site for site, origin, label in rows if origin == "Debian" and label == "Debian"]
    # Before the first `apt-get update` origin and label are unknown.
    mirrors = mirrors or [site for site, *_ in rows if "security" not in site]
    if not mirrors:
        raise BuildError("apt has no Debian mirror configured")
    return list(dict.fromkeys(mirrors))


def fetch_from_forge(work: Path, tree: Path) -> None:
    if shutil.which("git") is None:
        raise BuildError("git is not here")
    tree.mkdir()
    for command in (
        ["git", "init", "-q"],
        ["git", "fetch", "-q", "--depth", "1", SOURCE["forge"]["repository"], SOURCE["commit"]],
        ["git", "checkout", "-q", "FETCH_HEAD"],
    ):
        run_logged(command, " ".join(command[:2]), {**os.environ, "GIT_TERMINAL_PROMPT": "0"}, cwd=tree)


def tree_digest(tree: Path) -> str:
    """SHA-256 over the names and contents of the files that are compiled or installed."""
    digest = hashlib.sha256()
    for path in source_files(tree):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(tree).as_posix()}\n".encode())
    return digest.hexdigest()


def source_files(tree: Path) -> Iterable[Path]:
    found: list[Path] = []
    for name in SOURCE["paths"]:
        path = tree / name
        found.extend(each for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())
    return sorted(found, key=lambda path: path.relative_to(tree).as_posix())


def verify_tree(tree: Path) -> None:
    found = tree_digest(tree)
    if found != SOURCE["sha256"]:
        raise BuildError(f"the source tree has SHA-256 {found}, not {SOURCE['sha256']}")


def apply_patches(tree: Path) -> None:
    for patch in patches():
        run_logged(["patch", "-p1", "--forward", "--batch", "-i", str(patch)], patch.name, cwd=tree)


# ---- wheel -----------------------------------------------------------------------------------------------------------


def ensure_wheel() -> Path:
    """Path of the wheel for this machine; several processes may ask at once."""
    check_python()
    if given := os.environ.get(GIVEN):
        return given_wheel(given)
    home = cache_directory() / build_key()
    if wheel := cached_wheel(home):
        return wheel
    check_boost_python()
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cached_wheel(home) or build_wheel(home)


def cached_wheel(home: Path) -> Path | None:
    return next(iter(sorted(home.glob("*.whl"))), None)


def build_wheel(home: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="rationale-caffe-") as scratch:
        work = Path(scratch)
        tree = fetch_source(work)
        apply_patches(tree)
        for name in ("CMakeLists.txt", "pyproject.toml"):
            shutil.copy(HERE / name, tree / name)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-v", "-w", str(work / "out"), str(tree)]
        cards = architectures()
        if cards:
            packages = cuda_packages(work)
            for_cuda(tree / "pyproject.toml")
            # For every card machine code; for the newest PTX too, from which later ones compile.
            wanted = ";".join([*(f"{each}-real" for each in cards[:-1]), cards[-1]])
            command.append(f"--config-settings=cmake.define.CUDA_PACKAGES={packages}")
            command.append(f"--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES={wanted}")
        say(f"compiling ({'ten minutes or more' if cards else 'about three minutes'} on two cores)")
        run_logged(command, "the build")
        built = cached_wheel(work / "out")
        if built is None:
            raise BuildError("the build left no wheel")
        if cards:
            check_cuda(built, packages, cards)
        partial = home / f"{built.name}.part"
        shutil.copy(built, partial)
        return partial.rename(home / built.name)


# ---- CUDA ------------------------------------------------------------------------------------------------------------


def cuda_packages(work: Path) -> Path:
    """Installs CUDA's compiler and libraries beside the source; returns their folder `nvidia`."""
    say("fetching CUDA (2 GB unpacked)")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(work / "cuda")]
    run_logged([*pip, *SOURCE["cuda"]["build"]], "pip install nvidia-…")
    return work / "cuda" / "nvidia"


def for_cuda(project: Path) -> None:
    """Names the wheel of a build for CUDA, and lets it ask for CUDA's libraries."""
    text = project.read_text()
    wanted = "".join(f', "{each}"' for each in SOURCE["cuda"]["wanted"])
    text = text.replace('version = "1.0.0"', 'version = "1.0.0+cu13"')
    project.write_text(re.sub(r"^dependencies = \[(.+)\]$", rf"dependencies = [\1{wanted}]", text, flags=re.MULTILINE))


def check_cuda(wheel: Path, packages: Path, cards: list[str]) -> None:
    """A build that could not be run here is at least linked: every library is found, by the names that an installed
    wheel finds them by, CUDA's functions are called, and there is code for every card."""
    with tempfile.TemporaryDirectory(prefix="rationale-check-") as folder:
        site = Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".so"))
            archive.extract(name, site)
        (site / "nvidia").symlink_to(packages)
        library = str(site / name)
        found = subprocess.run(["ldd", library], capture_output=True, text=True).stdout
        for needed in ("libcudart.so", "libcublas.so", "libcurand.so", "libcudnn.so"):
            if f"{needed}." not in found:
                raise BuildError(f"{name} is not linked with {needed}")
        if missing := [line.split()[0] for line in found.splitlines() if "not found" in line]:
            raise BuildError(f"{name} finds no {', '.join(missing)}")
        called = subprocess.run(["nm", "--dynamic", "--undefined-only", library], capture_output=True, text=True).stdout
        for function in ("cublasSgemm_v2", "cudnnConvolutionForward", "curandGenerateUniform", "cudaMalloc"):
            if not re.search(rf"\b{function}\b", called):
                raise BuildError(f"{name} does not call {function}")
        listed = [str(packages / "cu13/bin/cuobjdump"), "--list-elf", library]
        code = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        there = sorted(set(re.findall(r"\.sm_(\d+)\.cubin", code)))
        if absent := [each for each in cards if each not in there]:
            raise BuildError(f"{name} holds code for {', '.join(there)}, not for {', '.join(absent)}")
        say(f"linked with CUDA; machine code for {', '.join(there)}")


def given_wheel(given: str) -> Path:
    """Path of a wheel that somebody built, verified; one from an address is kept in the cache."""
    place, _, pin = given.partition("#sha256=")
    name = place.rsplit("/", 1)[-1]
    if not name.startswith("caffe-") or not name.endswith(".whl"):
        raise BuildError(f"{GIVEN} names no wheel of Caffe: {given}")
    if f"-cp{sys.version_info.major}{sys.version_info.minor}-" not in name:
        raise BuildError(f"{name} is for another Python than this one, {platform.python_version()}")
    if len(pin) != 64:
        raise BuildError(f"{GIVEN}: write {place}#sha256= and the file's SHA-256 behind it")
    path = downloaded(place, cache_directory() / "given" / pin.lower() / name) if "://" in place else Path(place)
    if not path.is_file():
        raise BuildError(f"{path} is not there")
    verify_given(path, pin.lower())
    return path.resolve()


def downloaded(address: str, path: Path) -> Path:
    if not path.exists():
        say(f"fetching {address}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with urllib.request.urlopen(address, timeout=60) as answer, open(partial, "wb") as file:
                shutil.copyfileobj(answer, file)
            partial.rename(path)
        except (OSError, ValueError) as error:
            partial.unlink(missing_ok=True)
            raise BuildError(f"{address} could not be fetched: {error}") from error
    return path


def verify_given(path: Path, pin: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != pin:
        if path.is_relative_to(cache_directory()):
            path.unlink()  # or the next try would meet it again
        raise BuildError(f"{path.name} has SHA-256 {found}, not {pin}")
    with zipfile.ZipFile(path) as wheel:
        recipes = [wheel.read(name).decode().strip() for name in wheel.namelist() if name.endswith(f"-info/{RECIPE}")]
    if recipes != [recipe_key()]:
        raise BuildError(f"{path.name} was built by another state of docker/caffe than the one here; build your own")


def run_logged(
    command: list[str], what: str, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs quietly; on failure shows the end of what the command printed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        tail = "\n    ".join(done.stdout.splitlines()[-25:])
        raise BuildError(f"{what} failed ({done.returncode}):\n    {tail}")


def main(arguments: list[str]) -> int:
    commands = {
        "packages": ensure_packages,
        "wheel": lambda: print(ensure_wheel()),
        "key": lambda: print(build_key()),
    }
    if len(arguments) != 1 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        commands[arguments[0]]()
    except BuildError as error:
        say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
