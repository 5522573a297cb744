"""Which SavedModel is served, under which name, and what happens if there is none."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import one_line

from keras_t2i.serve import serve
from keras_t2i.serve.model import Model
from keras_t2i.serve.server import Server
from keras_t2i.serve.versions import find_version, model_name


def touch(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")


def test_the_latest_version_is_found_and_a_plain_saved_model_is_the_first(tmp_path: Path) -> None:
    for name in ("2", "10", "010x", "old"):
        touch(tmp_path / "stars" / name)
    (tmp_path / "stars" / "99").mkdir()
    assert find_version(tmp_path / "stars") == (tmp_path / "stars" / "10", 10)
    assert find_version(tmp_path / "stars" / "old") == (tmp_path / "stars" / "old", 1)
    assert find_version(tmp_path / "stars" / "2") == (tmp_path / "stars" / "2", 2)
    names = [model_name(tmp_path / "stars" / name) for name in ("", "2", "old")]
    assert names == ["stars", "stars", "old"]


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_without_a_saved_model_the_error_says_how_to_write_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="keras-t2i export") as error:
        serve(tmp_path / name)
    assert str(tmp_path / name) in one_line(error)


def test_damaged_models_end_the_server_with_their_error(tmp_path: Path, model_tree: Path) -> None:
    touch(tmp_path / "empty")
    with pytest.raises(ValueError, match="no signatures") as error:
        serve(tmp_path / "empty", port=0)
    one_line(error)
    (tmp_path / "empty" / "saved_model.pb").write_bytes(b"not a protobuf")
    with pytest.raises(ValueError, match="damaged"):
        serve(tmp_path / "empty", port=0)
    whole = (model_tree / "12" / "saved_model.pb").read_bytes()
    (tmp_path / "empty" / "saved_model.pb").write_bytes(whole)  # Without its variables.
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        Model(tmp_path / "empty")
    one_line(error)


def test_weights_that_are_not_finite_are_not_served(tmp_path: Path) -> None:
    module = tf.Module()
    module.scale = tf.Variable([1.0, np.nan])
    signature = tf.function(
        lambda prompts: {"images": tf.ones_like(prompts) * module.scale[0]},
        input_signature=[tf.TensorSpec((None,), tf.float32, "prompts")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "spoiled"), signatures=signature)
    with pytest.raises(ValueError, match=r"holds weights that are not finite \(scale") as error:
        Model(tmp_path / "spoiled")
    assert str(tmp_path / "spoiled") in one_line(error)


def test_a_port_that_is_taken_and_a_name_that_cannot_be_are_refused(tools: Any) -> None:
    with tools.in_thread(tools.StandIn()) as running, pytest.raises(ValueError, match="Cannot listen at") as error:
        Server(tools.StandIn, "toy", port=running.server.port)
    assert str(running.server.port) in one_line(error)
    for name in ("", "a/b", "a:predict", "a b"):
        with pytest.raises(ValueError, match="name of a model"):
            Server(tools.StandIn, name, port=0)


def test_missing_packages_are_named_with_their_extra(tmp_path: Path) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'uvicorn' else find(name, *rest)\n"
        "from keras_t2i.serve import serve\n"
        "assert not {'tensorflow', 'starlette', 'uvicorn'} & set(sys.modules)\n"
        "try:\n    serve('.')\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "keras-t2i[serve]" in done.stdout


FIRST = """
import gc, json, resource, sys, time
import tensorflow_text
from keras_t2i.serve.model import Model, first

def seconds_of_collecting():
    start = time.thread_time()
    gc.collect()
    return time.thread_time() - start

gc.collect()
before = seconds_of_collecting()
model = first(sys.argv[1])
list(model.warm_up(1))
other = Model(sys.argv[1])
between = seconds_of_collecting()
spent = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([before, between, spent.ru_utime + spent.ru_stime]), flush=True)
"""


def test_to_look_for_models_that_went_holds_up_nobody_and_neither_does_the_end(model_tree: Path) -> None:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", FIRST, str(model_tree / "12")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    all_of_it = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, between, spent = json.loads(done.stdout)
    ending = all_of_it.ru_utime + all_of_it.ru_stime - children.ru_utime - children.ru_stime - spent
    assert between < before / 2
    assert ending < 4 * before  # Else twice as long as that.
