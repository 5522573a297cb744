"""`keras-t2i serve` as users start it: from a model's name to a picture, with the client that travels beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from checks import move_weights, tiny_gan
from PIL import Image
from tiny_encoder import write_bert_preset

from keras_t2i.core import provenance
from keras_t2i.text import TextEncoder

CLIENT = Path(__file__).parents[2] / "export" / "serving" / "client.py"


def test_serve_draws_for_the_client_what_python_draws(tmp_path: Path) -> None:
    gan = tiny_gan("compact", TextEncoder.from_preset(write_bert_preset(tmp_path / "encoder")))
    move_weights(gan.generator, amount=0.3)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    gan.save_to_preset(tmp_path / "model")
    command = [sys.executable, "-m", "keras_t2i", "serve", "model", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = next(line for line in server.stderr if "http://" in line)
            address = "http://" + line.split("http://")[1].split()[0].split("/v1")[0].rstrip("/.,")
            ask = [sys.executable, str(CLIENT), "--address", address, "--name", "model"]
            ask += ["a red star", "--seed", "3", "-o", "star.png"]
            done = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.communicate(timeout=60)
    assert server.returncode == 0, rest
    assert not rest[0]
    drawn = np.asarray(Image.open(tmp_path / "star.png")).astype(int)
    assert np.abs(drawn - gan.generate("a red star", seed=3)[0]).max() <= 1
    assert provenance.inspect(tmp_path / "star.png")["model"] == gan.fingerprint()
