"""A SLURM cluster of this machine alone, from the daemons that Debian packages."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo")
LONGEST_S = 30
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoClusterError(Exception):
    """SLURM cannot run here; the text says why."""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster of one node; yield the variables by which its commands find it.

    Raises:
        NoClusterError: its daemons are not installed, or do not start.
    """
    missing = [name for name in COMMANDS if _path(name) is None]
    if missing:
        raise NoClusterError(f"{', '.join(missing)} is not installed (Debian: slurm-wlm, munge)")
    daemons: list[subprocess.Popen[bytes]] = []
    configuration = folder / "slurm.conf"
    variables = {"SLURM_CONF": str(configuration), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            user=pwd.getpwuid(os.getuid()).pw_name,
            memory_mb=int(0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20),
            folder=folder,
            ports=_free_ports(2),
        )
    )
    munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock"]
    munge += [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
    try:
        for command in (["munged", *munge], ["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            daemons.append(_start(command, variables, folder))
            time.sleep(0.5)
        _wait_until_idle(daemons, variables)
        yield variables
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def _path(command: str) -> str | None:
    return shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _start(
    command: list[str], variables: dict[str, str], folder: Path
) -> "subprocess.Popen[bytes]":
    path = _path(command[0])
    assert path is not None
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            [path, *command[1:]], env={**os.environ, **variables}, stdout=out, stderr=out
        )


def _wait_until_idle(daemons: "list[subprocess.Popen[bytes]]", variables: dict[str, str]) -> None:
    environment, begin = {**os.environ, **variables}, time.monotonic()
    while time.monotonic() < begin + LONGEST_S:
        ended = [one.args for one in daemons if one.poll() is not None]
        if ended:
            raise NoClusterError(f"{ended[0]} ended at once")
        asked = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
        )
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise NoClusterError("its node did not become idle")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
