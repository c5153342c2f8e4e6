"""Run programs in turn and measure each run: the process that does it, and the door to it.

It is a process of its own, a Python with nothing loaded, because the kernel counts the memory of who starts a program
as that program's; so the least peak that can be measured is its own.  One round runs every program once, so that what
the machine does meanwhile meets all of them: A B C A B C.
"""

from __future__ import annotations

import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PIPE = 1 << 16
"""Octets a pipe holds."""


class Program:
    """What to run: its ``name`` in tables, the words of its ``command``, what it needs in its ``environment``.

    ``code``: the exit code of a run that did what it should; if it is not 0, what it says about that is not shown.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        code: int = 0,
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.environment = dict(environment or {})
        self.code = code


class Runs:
    """The runs of one program, one a round: seconds of ``wall`` and ``cpu``, ``peak`` memory in KiB.

    ``begun``: when, by the clock of time.perf_counter.
    """

    def __init__(self, runs: Sequence[tuple[float, float, int, float]]) -> None:
        self.wall = [run[0] for run in runs]
        self.cpu = [run[1] for run in runs]
        self.peak = [run[2] for run in runs]
        self.begun = [run[3] for run in runs]


def measure(
    programs: Sequence[Program], mail: Path, rounds: int, *, piped: bool = True, enter: Sequence[str] = ()
) -> dict[str, Runs]:
    """Run the programs with a mail on standard input, through a pipe or as a file; their runs by their names.

    ``enter``: words that have a command run in another namespace; what they cost is not measured.

    Raises RuntimeError if a run fails: a program that does not do its work is not measured.
    """
    import subprocess

    plan = [
        [program.name, program.command, {**os.environ, **program.environment}, program.code] for program in programs
    ]
    done = subprocess.run(
        [*enter, sys.executable, "-I", "-S", __file__],
        input=marshal.dumps([plan, str(mail), rounds, piped]),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"measuring ended with exit code {done.returncode}")
    return {name: Runs(runs) for name, runs in marshal.loads(done.stdout).items()}  # noqa: S302 - our own words


def run(
    command: list[str], environment: dict[str, str], code: int, mail: str, *, piped: bool
) -> tuple[float, float, int, float]:
    """One run: wall seconds, seconds of processor time, KiB of memory at its peak, when it began."""
    feeder = 0
    if piped:
        feeder, source = feed(mail)
    else:
        source = os.open(mail, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    if code:
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    os.close(source)
    if feeder:
        os.waitpid(feeder, 0)
    if os.waitstatus_to_exitcode(status) != code:
        sys.exit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss, start


def feed(mail: str) -> tuple[int, int]:
    """The end of a pipe to read the mail from; and the process that writes it, 0 if it is written already."""
    source, sink = os.pipe()
    with open(mail, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= PIPE:
            os.write(sink, file.read())
            os.close(sink)
            return 0, source
        feeder = os.fork()
        if not feeder:
            os.close(source)
            while os.sendfile(sink, file.fileno(), None, PIPE):
                pass
            os._exit(0)
    os.close(sink)
    return feeder, source


def main() -> None:
    """Do what is asked on standard input; one round before those that count."""
    plan, mail, rounds, piped = marshal.load(sys.stdin.buffer)  # noqa: S302 - our own words
    runs: dict[str, list[tuple[float, float, int, float]]] = {name: [] for name, *_ in plan}
    for number in range(rounds + 1):
        for name, command, environment, code in plan:
            result = run(command, environment, code, mail, piped=piped)
            if number:
                runs[name].append(result)
    marshal.dump(runs, sys.stdout.buffer)


if __name__ == "__main__":
    main()
