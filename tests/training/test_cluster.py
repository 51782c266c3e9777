"""Several processes train one network: equal weights, one writer, and no hanging."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
from spread import ROOT, difference, ran, started, weights

from segnet_tf.errors import UserError
from segnet_tf.training.cluster import Cluster

WORKERS = ("a:1", "b:2", "c:3")


def config(task: dict, **groups) -> dict:
    return {"TF_CONFIG": json.dumps({"cluster": groups, "task": task})}


@pytest.mark.parametrize(
    "environment, index",
    [
        (config({"type": "worker", "index": 1}, worker=[*WORKERS]), 1),
        # Kubernetes writes the index as text.
        (config({"type": "worker", "index": "2"}, worker=[*WORKERS]), 2),
        (
            config({"type": "chief", "index": 0}, chief=["a:1"], worker=["b:2", "c:3"]),
            0,
        ),
        (
            config(
                {"type": "worker", "index": 1}, worker=["b:2", "c:3"], chief=["a:1"]
            ),
            2,
        ),
        (
            config(
                {"type": "worker", "index": 0}, master=["a:1"], worker=["b:2", "c:3"]
            ),
            1,
        ),
    ],
)
def test_the_variable_of_kubernetes_and_others(environment, index):
    assert Cluster.of_environment(environment) == Cluster(WORKERS, index)


def test_one_process_is_no_cluster():
    alone = config({"type": "worker", "index": 0}, worker=["a:1"])
    assert Cluster.of_environment(alone) is None
    assert Cluster.of_environment({}) is None
    assert Cluster.of_flags("a:1", 0) is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}}'],
)
def test_a_damaged_variable(text):
    with pytest.raises(UserError, match="TF_CONFIG: must be JSON"):
        Cluster.of_environment({"TF_CONFIG": text})


def test_parameter_servers_are_refused():
    environment = config({"type": "ps", "index": 0}, ps=["a:1"], worker=["b:2", "c:3"])
    with pytest.raises(UserError, match="type is worker or chief"):
        Cluster.of_environment(environment)


@pytest.mark.parametrize(
    "workers, index, says",
    [
        ("a:1,b:2", None, "give both"),
        (None, 0, "give both"),
        ("a:1,b:2", 2, "index: 2, must be 0 to 1"),
        ("a:1,b:2", -1, "must be 0 to 1"),
        ("a:1,a:1", 0, "there twice"),
        ("a:1,b", 0, "'b': must be host:port"),
        ("a:1,", 0, "'': must be host:port"),
    ],
)
def test_flags_that_name_no_cluster(workers, index, says):
    with pytest.raises(UserError, match=says):
        Cluster.of_flags(workers, index)


def test_flags():
    assert Cluster.of_flags("a:1, b:2, c:3", 2) == Cluster(WORKERS, 2)
    assert Cluster.of_flags("[::1]:80,b:2", 0) == Cluster(("[::1]:80", "b:2"), 0)


def test_a_worker_that_never_comes(tmp_path):
    """The deadline ends the process; it needs no TensorFlow."""
    with closing(socket.create_server(("127.0.0.1", 0))) as here:
        there = f"127.0.0.1:{here.getsockname()[1]}"
        script = (
            "import time; from segnet_tf.training.cluster import *\n"
            f"with deadline(Cluster(('{there}', '127.0.0.1:9', 'me:1'), 2), 0.2):\n"
            "    time.sleep(60)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no answer from 127.0.0.1:9 in 0 s")
    assert done.stderr.count("\n") == 1


# Processes on this machine


def addresses(count: int) -> str:
    """Free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    names = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return names


def workers(output, count: int, **asked) -> list[subprocess.Popen]:
    names = addresses(count)
    return [started(output, workers=names, index=i, **asked) for i in range(count)]


def ended(processes: list[subprocess.Popen], seconds: float = 300) -> list[str]:
    return [process.communicate(timeout=seconds)[0] for process in processes]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_equal_weights(count, tmp_path):
    alone = ran(tmp_path / "alone")
    processes = workers(tmp_path / "run", count)
    texts = ended(processes)
    assert [process.returncode for process in processes] == [0] * count, texts
    assert difference(alone, weights(tmp_path / "run")) < 1e-5
    assert "loss: " in texts[0] and "loss: " not in texts[1], "one shows progress"


def until(path, seconds: float = 120) -> None:
    start = time.monotonic()
    while not path.exists():
        assert time.monotonic() - start < seconds, f"no {path}"
        time.sleep(0.05)


LONG = {"epochs": 12, "deterministic": True}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    texts = ended(workers(run, 2, options=LONG))
    assert (run / "model.keras").exists(), texts
    return weights(run)


SIGNALS = [(signal.SIGKILL, 1), (signal.SIGKILL, 0), (signal.SIGTERM, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("number, which", SIGNALS)
def test_a_worker_that_ends_early(number, which, unbroken, tmp_path):
    """The other ends with one line, and the run goes on as if nothing had been."""
    run = tmp_path / "run"
    processes = workers(run, 2, options=LONG)
    until(run / "checkpoint" / "epoch-00003.keras")
    processes[which].send_signal(number)
    start = time.monotonic()
    texts = ended(processes, 60)
    assert time.monotonic() - start < 30
    other = 1 - which
    line = texts[other].strip().splitlines()[-1]
    says = "another worker is gone" if number == signal.SIGKILL else "stopped after"
    assert line.startswith(says), texts[other]
    assert processes[other].returncode == 143
    assert "Traceback" not in "".join(texts)

    again = workers(run, 2, options=LONG, resume=True)
    texts = ended(again)
    assert [process.returncode for process in again] == [0, 0], texts
    assert all("going on after epoch" in text for text in texts)
    assert difference(unbroken, weights(run)) == 0


@pytest.mark.slow
def test_workers_that_see_other_folders(tmp_path):
    """A disk that is not shared is noticed before the first step."""
    ran(tmp_path / "run", options={"epochs": 1})
    names, options = addresses(2), {"epochs": 2}
    places = [tmp_path / "run", tmp_path / "other"]
    processes = [
        started(place, workers=names, index=i, options=options, resume=True)
        for i, place in enumerate(places)
    ]
    texts = ended(processes)
    assert all(process.returncode for process in processes)
    assert "all workers need the same folder" in "".join(texts)
