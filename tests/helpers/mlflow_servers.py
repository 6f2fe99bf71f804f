"""Real MLflow servers and a real PostgreSQL, started by tests in process groups of their own."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A real MLflow server that can be stopped, killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        backend: str | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ):
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        self.command += ["--port", str(self.port), "--workers", "1"]
        self.command += ["--backend-store-uri", backend or f"sqlite:///{folder / 'server.db'}"]
        self.command += ["--artifacts-destination", str(folder / "artifacts"), *arguments]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        # Six more processes, which only MLflow's own jobs need, would load MLflow too.
        quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        self.environment = os.environ | quiet | dict(environment or {})
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def start(self) -> None:
        if self.process is not None:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()
                return
            time.sleep(0.1)
        said = self.log.read_text(errors="replace")[-2000:]
        self.kill()
        raise TimeoutError(f"the MLflow server did not start:\n{said}")

    def stop(self) -> None:
        """End it as an operator does."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
            self.kill()

    def kill(self) -> None:
        """End it and its workers at once, as a power cut does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=60)
            self.process = None


class PostgreSQL:
    """A PostgreSQL of Debian's package with one user and an empty database for each test."""

    password = "can/ary@pg"

    def __init__(self, folder: Path):
        found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *_on_path("postgres")]
        if not found:
            pytest.skip("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin")
        self.programs, self.folder, self.port = found[-1], folder, free_port()
        # PostgreSQL refuses to run as root.
        self.user = _somebody_else() if os.getuid() == 0 else None
        folder.chmod(0o777)
        for parent in folder.parents:
            if parent.is_relative_to("/tmp") and self.user and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        self.data = folder / "data"
        word = folder / "password"
        word.write_text(self.password)
        word.chmod(0o644)
        try:
            self._run(
                "initdb", "-D", self.data, "-U", "me", "-A", "scram-sha-256", f"--pwfile={word}"
            )
            options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {folder}"
            self._run("pg_ctl", "-D", self.data, "-w", "-l", folder / "log", "-o", options, "start")
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", b"") or b""
            pytest.skip(f"PostgreSQL cannot start here: {error} {said.decode()[-300:]}")

    def new_database(self, name: str, *, escaped: bool = True) -> str:
        """Create an empty database and return its address for MLflow."""
        from urllib.parse import quote

        environment = {"PGPASSWORD": self.password}
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "me", name, **environment)
        word = quote(self.password, safe="") if escaped else self.password
        return f"postgresql+pg8000://me:{word}@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it has ended by itself
            self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: object, **environment: str) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(
            command,
            check=True,
            env=os.environ | environment,
            user=self.user,
            cwd=self.folder,
            # A server that goes on must not hold a pipe that is waited for.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            timeout=120,
        )


def _on_path(program: str) -> list[Path]:
    found = shutil.which(program)
    return [Path(found).resolve().parent] if found else []


def _somebody_else() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)
