"""What TensorFlow Serving is given: warm-up, settings and a SavedModel that runs through TensorFlow's C API alone."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from checks import EMBEDDING_DIM, LATENT_DIM, move_average, one_line, tiny_gan
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tiny_encoder import write_bert_preset

import keras_t2i
from keras_t2i.core import provenance
from keras_t2i.export import serving
from keras_t2i.export.serving_warm_up import WARM_UP, prediction_log
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder

ROWS: dict[str, list[Any]] = {
    "prompts": ["a red star", "CAFÉ", "a\0blue circle", ""],
    "seeds": [3, -1, 2**40, 0],
    "truncation": [1.0, 0.5, 1.0, 0.0],
}
CARD = {"name": "tiny shapes/32", "caption": "it's a red star", "license": "Apache-2.0", "limits": "Knows few words."}

# The settings' messages, with the numbers and types of tensorflow_serving's .proto files.
_VALUE = 'type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value" label: LABEL_OPTIONAL'
CONFIG_MESSAGES = f"""
name: "test_serving.proto" package: "t" syntax: "proto3" dependency: "google/protobuf/wrappers.proto"
message_type {{
  name: "ModelConfig"
  field {{ name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }}
  field {{ name: "base_path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }}
  field {{ name: "model_platform" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL }}
}}
message_type {{
  name: "ModelConfigList"
  field {{ name: "config" number: 1 type: TYPE_MESSAGE type_name: "ModelConfig" label: LABEL_REPEATED }}
}}
message_type {{
  name: "ModelServerConfig"
  field {{ name: "model_config_list" number: 1 type: TYPE_MESSAGE type_name: "ModelConfigList" label: LABEL_OPTIONAL }}
}}
message_type {{
  name: "BatchingParameters"
  field {{ name: "max_batch_size" number: 1 {_VALUE} }}
  field {{ name: "batch_timeout_micros" number: 2 {_VALUE} }}
  field {{ name: "max_enqueued_batches" number: 3 {_VALUE} }}
  field {{ name: "num_batch_threads" number: 4 {_VALUE} }}
  field {{ name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }}
}}
message_type {{
  name: "PrometheusConfig"
  field {{ name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }}
  field {{ name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }}
}}
message_type {{
  name: "MonitoringConfig"
  field {{ name: "prometheus_config" number: 1 type: TYPE_MESSAGE type_name: "PrometheusConfig" label: LABEL_OPTIONAL }}
}}
"""

C_READER = """
import base64, ctypes, json, struct, sys

job = json.load(open(sys.argv[1]))
Pointer = ctypes.c_void_p

class Output(ctypes.Structure):
    _fields_ = [("operation", Pointer), ("index", ctypes.c_int)]

for path in job["libraries"]:
    tf = ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadLibrary", "TF_LoadSessionFromSavedModel",
             "TF_AllocateTensor", "TF_TensorData", "TF_GraphOperationByName", "TF_StringGetDataPointer"):
    getattr(tf, name).restype = Pointer
tf.TF_Message.restype, tf.TF_StringGetSize.restype = ctypes.c_char_p, ctypes.c_size_t
status, graph = Pointer(tf.TF_NewStatus()), Pointer(tf.TF_NewGraph())

def check():
    if tf.TF_GetCode(status):
        sys.exit(tf.TF_Message(status).decode())

for path in job["operations"]:
    tf.TF_LoadLibrary(path.encode(), status)
    check()
tags, options = (ctypes.c_char_p * 1)(b"serve"), Pointer(tf.TF_NewSessionOptions())
session = Pointer(
    tf.TF_LoadSessionFromSavedModel(options, None, job["model"].encode(), tags, 1, graph, None, status))
check()

def output(name):
    operation, _, index = name.partition(":")
    return Output(tf.TF_GraphOperationByName(graph, operation.encode()), int(index))

def tensor(kind, values):
    number, size = {"string": (7, 24), "int64": (9, 8), "float32": (1, 4)}[kind]
    dims = (ctypes.c_int64 * 1)(len(values))
    result = Pointer(tf.TF_AllocateTensor(number, dims, 1, ctypes.c_size_t(size * len(values))))
    for place, value in enumerate(values):
        address = Pointer(tf.TF_TensorData(result) + size * place)
        if kind == "string":
            tf.TF_StringInit(address)
            tf.TF_StringCopy(address, value.encode(), ctypes.c_size_t(len(value.encode())))
        else:
            ctypes.memmove(address, struct.pack({"int64": "<q", "float32": "<f"}[kind], value), size)
    return result

feeds, count = job["feeds"], len(job["feeds"])
inputs = (Output * count)(*[output(feed[0]) for feed in feeds])
values = (Pointer * count)(*[tensor(*feed[1:]) for feed in feeds])
results = (Pointer * 1)()
tf.TF_SessionRun(
    session, None, inputs, values, count, (Output * 1)(output(job["fetch"])), results, 1, None, 0, None, status)
check()
data, files = tf.TF_TensorData(Pointer(results[0])), []
for place in range(len(feeds[0][2])):
    string = Pointer(data + 24 * place)
    files.append(ctypes.string_at(tf.TF_StringGetDataPointer(string), tf.TF_StringGetSize(string)))
assert not {"tensorflow", "numpy"} & set(sys.modules)
print(json.dumps([base64.b64encode(file).decode() for file in files]))
"""


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    gan = tiny_gan("dcgan", TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("encoder") / "bert")))
    move_average(gan)
    gan.card = dict(CARD)
    return gan


@pytest.fixture(scope="module")
def exported(gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "export"
    assert serving.write(gan, path) == "2.12"
    return path


def settings(message: str, file: Path) -> Any:
    """A settings file, read as strictly as the server reads it."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(text_format.Parse(CONFIG_MESSAGES, descriptor_pb2.FileDescriptorProto()))
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{message}"))
    return text_format.Parse(file.read_text(encoding="utf-8"), kind())


def run_through_c(model: Path, rows: dict[str, list[Any]], folder: Path) -> list[bytes]:
    """PNG files from a process that loads TensorFlow's shared libraries, and nothing of its Python."""
    tensorflow, text = Path(tf.__file__).parent, Path(tensorflow_text.__file__).parent
    saved = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    kinds = {name: tf.as_dtype(info.dtype).name for name, info in signature.inputs.items()}
    job = {
        "libraries": [str(tensorflow / f"libtensorflow_{name}.so.2") for name in ("framework", "cc")],
        "operations": [str(path) for path in sorted((text / "python" / "ops").glob("_*.so"))],
        "model": str(model),
        "feeds": [(signature.inputs[name].name, kinds[name], values) for name, values in rows.items()],
        "fetch": signature.outputs["image_bytes"].name,
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-I", "-c", C_READER, "job.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [base64.b64decode(file) for file in json.loads(done.stdout)]


def assert_drawn(gan: TextToImageGAN, files: list[bytes], rows: dict[str, list[Any]], folder: Path) -> None:
    """That PNG files hold what `generate` draws, and say so."""
    expected = [gan.generate(row[0], seed=row[1], truncation=row[2])[0] for row in zip(*rows.values(), strict=True)]
    drawn = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    # Rounding to bytes may fall the other way where the floats differ in their last bit.
    assert np.abs(np.stack(drawn).astype(int) - np.stack(expected)).max() <= 1
    assert (np.stack(drawn) != np.stack(expected)).mean() < 1e-3
    (folder / "first.png").write_bytes(files[0])
    assert provenance.inspect(folder / "first.png")["model"] == gan.fingerprint()


def test_runs_through_the_c_api_without_pythons_tensorflow(gan: TextToImageGAN, exported: Path, tmp_path: Path) -> None:
    files = run_through_c(exported / "tiny_shapes_32" / "1", ROWS, tmp_path)
    assert_drawn(gan, files, ROWS, tmp_path)


@pytest.mark.slow
def test_shipped_preset_runs_through_the_c_api(tmp_path: Path) -> None:
    gan = keras_t2i.TextToImageGAN.from_preset("shapes_64")
    assert serving.write(gan, tmp_path / "export", name="shapes") == "2.12"
    rows = {"prompts": ["a red star", "a large blue circle"], "seeds": [3, 5], "truncation": [1.0, 0.7]}
    assert_drawn(gan, run_through_c(tmp_path / "export" / "shapes" / "1", rows, tmp_path), rows, tmp_path)


def test_warm_up_runs_every_signature_at_every_batch_size(exported: Path) -> None:
    model = exported / "tiny_shapes_32" / "1"
    signatures = tf.saved_model.load(str(model)).signatures
    seen = set()
    for record in tf.data.TFRecordDataset(str(model / WARM_UP)).as_numpy_iterator():
        log = prediction_log()
        log.ParseFromString(record)
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        sizes = {int(tensor.shape[0]) for tensor in [*inputs.values(), *answer.values()]}
        assert len(sizes) == 1, "every input and output has the batch in front"
        assert request.model_spec.name == "tiny_shapes_32"
        seen.add((request.model_spec.signature_name, *sizes))
    names = ("serving_default", "generate", "embed_text", "generate_from_embeddings")
    assert set(signatures) == set(names)
    assert seen == {(name, size) for name in names for size in settings_of_batching(exported).allowed_batch_sizes}


def settings_of_batching(exported: Path) -> Any:
    return settings("BatchingParameters", exported / "batching.config")


def test_settings_are_what_the_server_reads(exported: Path) -> None:
    (model,) = settings("ModelServerConfig", exported / "models.config").model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "tiny_shapes_32",
        "/models/tiny_shapes_32",
        "tensorflow",
    )
    batching = settings_of_batching(exported)
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] == batching.max_batch_size.value == serving.BATCH_SIZES[-1]
    assert settings("MonitoringConfig", exported / "monitoring.config").prometheus_config.enable


def test_card_and_facts_say_what_the_model_is(gan: TextToImageGAN, exported: Path) -> None:
    card = (exported / "MODEL_CARD.md").read_text(encoding="utf-8")
    fingerprint = gan.fingerprint()
    for text in ("# tiny_shapes_32", fingerprint, "Knows few words.", 'license: "apache-2.0"', "2.12 or later"):
        assert text in card
    for text in (
        "`serving_default`",
        "`prompts`: string [B]",
        "`image_bytes`: string [B]",
        "latents.json",
        "float32 [B, 6]",
    ):
        assert text in card
    request = json.loads(card.split(":predict -d '")[1].split("'")[0])
    assert request["inputs"] == {"prompts": ["it's a red star"], "seeds": [3], "truncation": [1.0]}
    facts = json.loads((exported / "serving.json").read_text(encoding="utf-8"))
    assert (facts["model"], facts["tensorflow_serving"]) == (fingerprint, "2.12")
    present = {file.relative_to(exported).as_posix() for file in exported.rglob("*") if file.is_file()}
    assert set(facts["files"]) == present


def test_noise_has_test_vectors(exported: Path) -> None:
    facts = json.loads((exported / "latents.json").read_text(encoding="utf-8"))
    for example in facts["examples"]:
        noise = tf.random.stateless_normal((LATENT_DIM,), (int(example["seed"]), example["index"]), alg="philox")
        np.testing.assert_allclose(example["latents"], noise, atol=1e-6)


def test_older_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    gan = tiny_gan("mlp")
    target = tmp_path / "export"
    serving.write(gan, target, name="first")
    serving.write(gan, target)
    assert sorted(path.name for path in target.iterdir() if path.is_dir()) == ["keras_t2i"]
    card = (target / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"`sentence_embeddings`: float32 [B, {EMBEDDING_DIM}]" in card
    assert "Not stated." in card
    (target / "keras_t2i" / "2").mkdir()
    (target / "keras_t2i" / "2" / "saved_model.pb").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"keras_t2i/2/saved_model\.pb.*not overwritten") as error:
        serving.write(gan, target)
    assert str(target) in one_line(error)
    with pytest.raises(ValueError, match="not overwritten"):
        serving.write(gan, target / "keras_t2i")
    with pytest.raises(ValueError, match="letters, digits"):
        serving.write(gan, tmp_path / "new", name="../etc")
    assert before == {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
