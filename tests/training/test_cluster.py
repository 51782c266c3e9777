"""Several processes train one network: equal weights, one writer, and no hanging."""

import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from spread import difference, ran, started, weights

from segnet_tf.errors import UserError
from segnet_tf.training.cluster import Cluster
from segnet_tf.training.replicas import Replicas

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


@pytest.mark.parametrize(
    "kind, index",
    [
        ("worker", -1),
        ("worker", 2),
        ("chief", 1),
        ("worker", 0.9),
        ("worker", True),
        ("worker", float("inf")),
        ("worker", "x"),
        ("evaluator", 0),
    ],
)
def test_a_place_that_there_is_not(kind, index):
    environment = config(
        {"type": kind, "index": index}, chief=["a:1"], worker=["b:2", "c:3"]
    )
    with pytest.raises(UserError, match="index is one of that type's"):
        Cluster.of_environment(environment)


def test_a_cluster_with_parameter_servers_is_refused():
    environment = config(
        {"type": "worker", "index": 0}, ps=["a:1"], worker=["b:2", "c:3"]
    )
    with pytest.raises(UserError, match="parameter servers"):
        Cluster.of_environment(environment)


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
        ("a:1,A:01", 0, "A:01 is there twice"),
        ("a:0,b:2", 0, "a port is 1 to 65535"),
        ("a:1,b:99999", 0, "a port is 1 to 65535"),
    ],
)
def test_flags_that_name_no_cluster(workers, index, says):
    with pytest.raises(UserError, match=says):
        Cluster.of_flags(workers, index)


def test_flags():
    assert Cluster.of_flags("a:1, b:2, c:3", 2) == Cluster(WORKERS, 2)
    assert Cluster.of_flags("[::1]:80,b:2", 0) == Cluster(("[::1]:80", "b:2"), 0)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_never_comes(index):
    here, other = (f"127.0.0.1:{port}" for port in free_ports(2))
    workers = (here, other) if index == 0 else (other, here)
    with pytest.raises(UserError, match=f"^no answer from {other}.* in 0 s: start all"):
        Cluster(workers, index).gather(0.3)


def test_all_come():
    """The second and third listen until the first lets TensorFlow open its port."""
    workers = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    clusters = [Cluster(workers, index) for index in range(3)]
    with ThreadPoolExecutor(3) as pool:
        late = [pool.submit(cluster.gather, 30) for cluster in clusters[1:]]
        clusters[0].gather(30)
        assert not any(each.done() for each in late)
        with socket.create_server(("127.0.0.1", int(workers[0].split(":")[1]))):
            for each in late:
                each.result(30)
    for cluster in clusters:  # their ports are free for TensorFlow
        cluster._listening().close()


def test_a_port_that_is_taken():
    with closing(socket.create_server(("", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of this machine: .* in use"):
            Cluster((f"127.0.0.1:{port}", "127.0.0.1:9"), 0).gather(0)


def agreed(own: dict, other: dict, epoch=(0, 0), step=(0, 0)) -> list[str | None]:
    """What each of two processes says that compare options and places in a run."""
    replicas = [Replicas(None, Cluster(("a:1", "b:2"), index)) for index in range(2)]
    barrier, tables = Barrier(2), {}

    def said(index: int) -> str | None:
        def summed(table):
            tables[index] = table
            barrier.wait(10)
            return tables[0] + tables[1]

        replicas[index].summed = summed  # as over the network
        try:
            options = (own, other)[index]
            replicas[index].compare("run", options, epoch[index], step[index])
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(said, range(2)))


def test_processes_compare_their_options():
    """Each one of them finds the difference: a process alone would wait for ever."""
    options = {"seed": 1, "loss": "dice", "crop": (3, 4), "data_dir": "here"}
    assert agreed(options, {**options, "data_dir": "there"}) == [None, None]
    unlike = agreed(options, {**options, "seed": 2, "crop": (4, 3)})
    assert unlike == 2 * [
        "seed, crop: not the same on all workers: give them the same options and data"
    ]
    for place in ({"epoch": (1, 2)}, {"step": (0, 3)}):
        for line in agreed(options, options, **place):
            assert line and "all workers need the same folder" in line


# Processes on this machine


def addresses(count: int) -> str:
    """Free ports of this machine."""
    return ",".join(f"127.0.0.1:{port}" for port in free_ports(count))


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
    options = {"epochs": 1}
    ran(tmp_path / "run", options=options)
    names = addresses(2)
    places = [tmp_path / "run", tmp_path / "other"]
    processes = [
        started(place, workers=names, index=i, options=options, resume=True)
        for i, place in enumerate(places)
    ]
    texts = ended(processes)
    assert [process.returncode for process in processes] == [2, 2], texts
    assert all("all workers need the same folder" in text for text in texts)
