"""A hospital that lets out port 443 only: three names lead through nginx on one port 443 to the coordinator's services.

Played with the configuration that docs/operations.md shows, in a network namespace of its own, where 443 is free.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.netless import UNSHARE, mount, raise_loopback

REPOSITORY = Path(__file__).parents[2]
NAMES = {"enrolment": "enrol.gait.example.org", "site": "site.gait.example.org", "fleet": "rounds.gait.example.org"}
FRONT = "127.0.0.2"
CLI = (sys.executable, "-m", "gaitkeeper_shared.cli")
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def documented_configuration() -> str:
    """The page's own nginx block."""
    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    (block,) = re.findall(r"^```nginx\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(block)


def play(folder: Path) -> dict[str, object]:
    """Within the namespace: a coordinator behind nginx, a site that enrols, looks at everything, and asks for work."""
    raise_loopback()
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{FRONT} {name}\n" for name in NAMES.values()))
    mount("--bind", str(hosts), "/etc/hosts")
    configuration = folder / "nginx.conf"
    block = documented_configuration().replace("listen 443", f"listen {FRONT}:443")
    configuration.write_text(
        f"load_module {STREAM_MODULE};\ndaemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/nginx.log;\nevents {{}}\n{block}"
    )
    home, site = folder / "coordinator", folder / "site"
    told = [item for what, name in NAMES.items() for item in (f"--{what}-address", f"{name}:443")]
    call("coordinator", "init", "--name", "tri", "--home", home, "--host", NAMES["site"], "--bind", "127.0.0.1", *told)
    nginx = [NGINX, "-c", str(configuration), "-p", str(folder)]
    start = [*CLI, "coordinator", "start", "--home", str(home)]
    with running(nginx, folder / "nginx.out"), running(start, folder / "coordinator.out"):
        wait(folder, home / "run" / "superlink.ready")
        letter = folder / "letter.json"
        call("coordinator", "invite", "north", "--output", letter, "--home", home)
        call("site", "init", "--name", "north", "--home", site)
        call("site", "enrol", letter, "--home", site)
        doctor = json.loads(call("site", "doctor", "--json", "--home", site))
        return {
            "doctor": {row["what"]: row["verdict"] for row in doctor},
            "beat": beat(home, site),
        }


def beat(home: Path, site: Path) -> bool:
    """Whether Flower takes the site's heartbeat, as the site would send it."""
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    from gaitkeeper_client.agent.node import load_node_key
    from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
    from gaitkeeper_client.vault.home import SiteHome

    where = CoordinatorConnection.load(SiteHome(site)).fleet_address
    assert where == f"{NAMES['fleet']}:443"
    key = load_node_key(KeyFiles(SiteHome(site).keys).node_key)
    root = (home / "keys" / "root.crt").read_bytes()
    signed = [NodeAuthHttpInterceptor(key, key.public_key())]
    with FleetHttpClient.from_server_address(where, False, root, interceptors=signed) as client:
        request = ActivateNodeRequest(public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=30.0)
        return bool(client.ActivateNode(request).node_id)


def call(*arguments: object) -> str:
    done = subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True, timeout=180, check=False)
    # 4: the doctor found something ill; what, is looked at.
    assert done.returncode in (0, 4), f"{arguments}: {done.stderr[-1500:]}"
    return done.stdout


def wait(folder: Path, path: Path) -> None:
    until = time.monotonic() + 180
    while not path.exists():
        logs = "\n".join(item.read_text("utf-8", "replace")[-800:] for item in folder.glob("*.out"))
        assert time.monotonic() < until, logs
        time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.slow
def test_one_port_443_and_three_names_are_all_that_a_site_needs(tmp_path: Path) -> None:
    if not (Path(NGINX).exists() and STREAM_MODULE.exists()):
        pytest.skip("needs nginx with its stream module")
    unshared = [*UNSHARE, "--net"]
    missing = shutil.which("unshare") is None
    if missing or subprocess.run([*unshared, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs Linux with user and network namespaces")
    report = tmp_path / "report.json"
    command = [*unshared, sys.executable, "-m", "tests.e2e.test_port_443", str(tmp_path), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=REPOSITORY, check=False)
    logs = "".join(item.read_text("utf-8", "replace")[-1500:] for item in tmp_path.glob("*.out"))
    assert done.returncode == 0, done.stderr[-3000:] + logs
    seen = json.loads(report.read_text())
    assert (seen["doctor"]["site port"], seen["doctor"]["rounds port"]) == ("well", "well"), seen
    assert seen["beat"]


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(play(Path(sys.argv[1]))))
