"""The recipe for training in a cluster: what it runs is what the command understands."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_t2i.training.cluster import Cluster

FILE = Path(__file__).resolve().parents[2] / "export" / "serving" / "training-job.yaml"


@pytest.mark.parametrize("worker", [0, 3])
def test_workers_find_each_other_by_the_names_that_the_service_gives(
    worker: int, tmp_path: Path, monkeypatch: Any
) -> None:
    service, job = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(given["NUM_WORKERS"])
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    # In the place of the command: a program of its name that tells what it was given.
    (tmp_path / "keras-t2i").write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$*"\n')
    (tmp_path / "keras-t2i").chmod(0o755)
    environment = {**given, "JOB_COMPLETION_INDEX": str(worker), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = [*container["command"], *container["args"]]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    monkeypatch.setenv("TF_CONFIG", told[0])
    cluster = Cluster.of_environment()
    assert cluster is not None
    assert cluster.worker == worker
    name, port = job["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert cluster.addresses == tuple(f"{name}-{number}.{pod['subdomain']}:{port}" for number in range(4))
    options = shlex.split(told[1])
    assert options[:2] == ["train", "/data/images"]
    assert (
        int(options[options.index("--batch-size") + 1]) % (4 * container["resources"]["limits"]["nvidia.com/gpu"]) == 0
    )


def test_a_fault_of_the_input_ends_the_job_and_a_lost_worker_does_not() -> None:
    _, job = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
    failing = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert [rule["onExitCodes"]["values"] for rule in failing] == [[2]]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["completionMode"] == "Indexed"
