"""Try the product against servers that others wrote: a FHIR R4 server, and an identity provider.

Both come from the npm registry (``package.json``) into ``.venv/others``, run on loopback and end with this command; it
needs Node.js. Exit status: 0 where all is as expected, 2 where there is no Node.js or its packages cannot be had.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.others import fhir, oidc

HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / ".venv" / "others"
INSTALL_S, START_S = 600.0, 120.0


def main() -> int:
    """Install what is needed, and try each."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("There is no Node.js here: apt-get install nodejs npm")
        return 2
    PLACE.mkdir(parents=True, exist_ok=True)
    for path in HERE.iterdir():
        if path.suffix in (".json", ".cjs", ".mjs"):
            shutil.copyfile(path, PLACE / path.name)
    words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(words, cwd=PLACE, timeout=INSTALL_S, check=False).returncode:
        return 2
    wrong = 0
    for name, play in (("FHIR (Medplum's router)", _fhir), ("OpenID Connect (node-oidc-provider)", _oidc)):
        with tempfile.TemporaryDirectory(prefix="gaitkeeper-others-") as folder:
            try:
                for line in play(Path(folder), node):
                    print(f"{name}: {line}", flush=True)
            except AssertionError as error:
                wrong += 1
                print(f"{name}: WRONG: {error}", flush=True)
    return int(wrong > 0)


def _fhir(folder: Path, node: str) -> Iterator[str]:
    return fhir.play(folder, lambda *words: _serving(node, "fhir_server.cjs", *words))


def _oidc(folder: Path, node: str) -> Iterator[str]:
    return oidc.play(folder, lambda *words: _serving(node, "oidc_provider.mjs", *words))


@contextlib.contextmanager
def _serving(node: str, script: str, *words: str) -> Iterator[None]:
    """One of the servers, for as long as the block lasts."""
    process = subprocess.Popen([node, script, *words], cwd=PLACE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serving\n", f"{script} does not start"
        yield
    finally:
        process.kill()
        process.wait(10.0)


Serving = Callable[..., contextlib.AbstractContextManager[None]]

if __name__ == "__main__":
    sys.exit(main())
