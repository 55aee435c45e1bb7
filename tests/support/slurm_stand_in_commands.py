"""The commands of the stand-in for SLURM; its folder is put in, and its name decides."""

import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("FOLDER_OF_JOBS")
JOBS = FOLDER / "jobs"


def write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.rename(path)


def options_of(text):
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", text, re.MULTILINE)
    return {name: "".join(shlex.split(given)) for name, given in found}


def nodes():
    rows = (line.split() for line in (FOLDER / "nodes").read_text().splitlines())
    return [(name, parts.split(","), feature, int(n)) for name, parts, feature, n in rows]


def sbatch(path):
    text = Path(path).read_text()
    asked = options_of(text)
    known = {part for _, parts, _, _ in nodes() for part in parts}
    if asked.get("partition", "batch") not in known:
        print(f"sbatch: error: invalid partition specified: {asked['partition']}", file=sys.stderr)
        words = "Batch job submission failed: Invalid partition name specified"
        sys.exit(f"sbatch: error: {words}")
    with (FOLDER / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = 1 + max((int(job.name.split("_")[0]) for job in JOBS.iterdir()), default=0)
        array = asked.get("array")
        last = int(array.split("%")[0].split("-")[1]) if array else 0
        names = [f"{number}_{n}" for n in range(last + 1)] if array else [str(number)]
        for name in names:
            (JOBS / name).mkdir()
            write(JOBS / name / "script", text)
            write(JOBS / name / "state", "PENDING Priority")
    for name in names:
        subprocess.Popen(
            [sys.executable, "-IS", sys.argv[0], "run", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(f"Submitted batch job {number}")


def place(name, asked):
    """Return the node that a job gets, which is then taken; None if it has to wait."""
    excluded = asked.get("exclude", "").split(",")
    for node, parts, feature, n in nodes():
        if node in excluded or asked.get("partition", "batch") not in parts:
            continue
        if asked.get("constraint", feature) != feature:
            continue
        there = [
            job
            for job in JOBS.iterdir()
            if (job / "state").read_text().startswith("RUNNING")
            and (job / "node").read_text() == node
        ]
        is_alone = any("--exclusive" in (job / "script").read_text() for job in there)
        if is_alone or len(there) >= (1 if "exclusive" in asked else n):
            continue
        write(JOBS / name / "node", node)
        write(JOBS / name / "state", "RUNNING None")
        return node
    return None


def run(name):
    job = JOBS / name
    asked = options_of((job / "script").read_text())
    while True:
        if (job / "end").exists() or (FOLDER / "over").exists():
            write(job / "state", "CANCELLED None")
            return
        held = (FOLDER / "hold").read_text() if (FOLDER / "hold").exists() else ""
        with (FOLDER / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            node = None if held else place(name, asked)
        if node:
            break
        write(job / "state", f"PENDING {held or 'Resources'}")
        time.sleep(0.02)
    main, _, element = name.partition("_")
    environment = os.environ | {"SLURM_JOB_ID": main, "SLURMD_NODENAME": node}
    if element:
        environment |= {"SLURM_ARRAY_JOB_ID": main, "SLURM_ARRAY_TASK_ID": element}
    output = asked["output"].replace("%j", name).replace("%A", main).replace("%a", element)
    with open(output, "ab") as file:
        process = subprocess.Popen(
            ["bash", str(job / "script")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        write(job / "pid", str(process.pid))
        if (job / "end").exists():  # it was cancelled before there was a process to end
            os.killpg(process.pid, signal.SIGTERM)
        status = process.wait()
    end = job / "end"
    word = end.read_text() if end.exists() else "FAILED" if status else "COMPLETED"
    write(job / "state", f"{word} None")


def scancel(*words):
    asked = [word for word in words if not word.startswith("-")]
    for word in words:
        if word.startswith("--name="):
            wanted = f"--job-name={word.removeprefix('--name=')}\n"
            asked += [j.name for j in JOBS.iterdir() if wanted in (j / "script").read_text()]
    for name in asked:
        job = JOBS / name
        if (job / "state").read_text().split()[0] in ("PENDING", "RUNNING"):
            write(job / "end", "CANCELLED")
            if (job / "pid").exists():
                try:
                    for number in (signal.SIGTERM, signal.SIGCONT):
                        os.killpg(int((job / "pid").read_text()), number)
                except ProcessLookupError:
                    continue


def squeue():
    for job in JOBS.iterdir():
        word, reason = (job / "state").read_text().split()
        node = (job / "node").read_text() if (job / "node").exists() else ""
        print(f"{job.name}|{word}|{reason}|{node}|N/A")


def sinfo(*words):
    if "--version" in words:
        print("slurm 0.0.0")
        return
    for _, parts, feature, n in nodes():
        for part in parts:
            default = "*" if part == "batch" else ""
            print(f"{part}{default}|up|1:00:00|1|{n}|4000|(null)|{feature}|idle")


if __name__ == "__main__":
    called, words = Path(sys.argv[0]).name, sys.argv[1:]
    if words[:1] == ["run"]:
        run(words[1])
    elif called == "sbatch":
        sbatch(words[-1])
    elif called == "scancel":
        scancel(*words)
    elif called == "squeue":
        squeue()
    elif called == "sinfo":
        sinfo(*words)
    elif called == "sacct":
        sys.exit("Slurm accounting storage is disabled")
