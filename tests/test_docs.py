"""The docs' Python, run as it stands there."""

import re
import shutil

import numpy as np
from conftest import ROOT
from networks import network
from PIL import Image

from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.export import export_tflite
from segnet_tf.inference import Predictor


def test_mobile_python(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "mobile.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    export_tflite(network("segnet"), "model.tflite", INFO, (48, 64))
    shutil.copy("model.tflite", "model_float32.tflite")
    image = draw_scene(9, 0, 48, 64)[0]
    # The docs' photo is a JPEG; a format without loss lets the labels be compared.
    Image.fromarray(image).save("street.jpg", format="PNG")
    exec(compile(code, "docs/mobile.md", "exec"), {})
    labels = np.asarray(Image.open("labels.png"))
    np.testing.assert_array_equal(labels, Predictor("model.tflite").labels(image))
