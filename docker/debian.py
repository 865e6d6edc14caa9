"""Bare Debian systems, bootstrapped from where this machine's packages come from, and commands run inside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "caffe"))
from build import BuildError, cache_directory, debian_mirrors, run_logged

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}  # suites that have Boost.Python for a Python of ours
INHERITED = ("/etc/pip.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
CERTIFICATES = "/etc/ssl/machine.crt"  # a second copy, which no package of the system writes over
PASSED_TO_PIP = ("index-url", "extra-index-url", "trusted-host", "cert", "client-cert", "proxy", "timeout", "retries")
KEPT = 7 * 86_400  # seconds for which a bootstrapped system is used again


def tools(*wanted: str) -> None:
    """Installs Debian packages of tools, as root; otherwise says what to install.

    Raises:
        BuildError: they are missing, and only root can install them.
    """
    missing = [name for name in wanted if shutil.which(name) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BuildError(f"this wants {' and '.join(missing)}: sudo apt-get install {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(["apt-get", "update"], "apt-get update", environment)
    run_logged(["apt-get", "install", "-y", "--no-install-recommends", *missing], "apt-get install", environment)


def bootstrap(system: Path, suite: str, include: str = "") -> None:
    """Makes a minimal Debian in the folder `system`, which gets its packages from where this machine does."""
    kept = base(suite, include)
    system.mkdir(parents=True)
    run_logged(["tar", "--numeric-owner", "-xpf", str(kept), "-C", str(system)], "tar")
    for name in INHERITED:
        source, place = Path(name), system / name.lstrip("/")
        if source.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    if Path(INHERITED[-1]).exists():
        shutil.copy(INHERITED[-1], system / CERTIFICATES.lstrip("/"))


def base(suite: str, include: str = "") -> Path:
    """A tar file of a minimal Debian with nothing of this machine in it but the addresses of its mirrors."""
    kept = cache_directory().parent / "debian" / f"{'+'.join(filter(None, (suite, include)))}.tar"
    if not kept.exists() or time.time() - kept.stat().st_mtime > KEPT:
        _bootstrap_anew(kept, suite, include)
    return kept


def _bootstrap_anew(kept: Path, suite: str, include: str) -> None:
    print(f"debootstrap {suite}", flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        system = Path(folder, "system")
        command = ["debootstrap", "--variant=minbase", *([f"--include={include}"] if include else [])]
        run_logged([*command, suite, str(system), debian_mirrors()[0]], "debootstrap")
        (system / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources(suite)))
        _slim(system)
        partial = kept.with_name(f"{kept.name}.{os.getpid()}.part")
        run_logged(["tar", "--numeric-owner", "-cpf", str(partial), "-C", str(system), "."], "tar")
        partial.rename(kept)


def _slim(system: Path) -> None:
    """Removes what is only to be read, licences excepted, and what apt fetches again."""
    for name in ("usr/share/man", "usr/share/info", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
        for each in (system / name).iterdir() if (system / name).is_dir() else ():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for each in (system / "usr/share/doc").rglob("*"):
        if each.name != "copyright" and (each.is_symlink() or each.is_file()) and not each.is_dir():
            each.unlink()


def sources(suite: str) -> list[str]:
    """Lines for sources.list: `suite` itself and, where this machine has them for its own, updates and security."""
    asked = ["apt-get", "indextargets", "--format", "$(SITE)|$(RELEASE)|$(CODENAME)", "Created-By: Packages"]
    rows = [line.split("|") for line in subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()]
    lines = [f"deb {debian_mirrors()[0]} {suite} main"]
    for site, release, codename in rows:
        for ending in ("-updates", "-security"):
            if codename in (*(f"{each}{ending}" for each in PYTHONS), *PYTHONS) and release.endswith(ending):
                lines.append(f"deb {site} {suite}{ending} main")
    return list(dict.fromkeys(lines))


@contextmanager
def running(system: Path) -> Iterator[None]:
    """With /proc mounted in it for as long."""
    subprocess.run(["mount", "-t", "proc", "proc", str(system / "proc")], capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(system / "proc")], capture_output=True)


def run_inside(system: Path, command: str, home: str = "/root") -> None:
    """Runs a shell command in the system, with pip's settings of this machine and nothing else of its environment.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment |= {"HOME": home, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    if (system / CERTIFICATES.lstrip("/")).exists():
        environment |= {"PIP_CERT": CERTIFICATES, "SSL_CERT_FILE": CERTIFICATES}
    subprocess.run(["chroot", str(system), "sh", "-ec", command], check=True, env=environment)


def copy_checkout(place: Path) -> None:
    """Copies the checkout's files, changes that are not committed included, but nothing that git ignores."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, place / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def pip_settings() -> str:
    """This machine's settings of pip that hold elsewhere too, as a pip.conf: addresses, no paths but certificates."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        value = " ".join(each for each in value.strip("'\"").replace("\\n", " ").split() if "file:" not in each)
        if name in PASSED_TO_PIP and value and (name not in found or section == ":env:"):
            found[name] = value
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
