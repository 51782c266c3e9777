"""Our networks beside the same ones on PyTorch's max pooling and unpooling.

torch_logits.npz holds PyTorch's logits, so that the comparison runs without PyTorch;
the other tests compute with it, where it is installed.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT

from benchmarks import torch_weights
from segnet_tf.models.clone import with_pooling_mode

TOLERANCE = 1e-4


def apart(logits, expected) -> float:
    """The largest difference, as a share of the largest logit."""
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", torch_weights.NETWORKS)
def test_logits_are_those_that_pytorch_gave(name):
    with np.load(ROOT / torch_weights.FIXTURE) as stored:
        assert set(stored) == set(torch_weights.NETWORKS)
        expected = stored[name]
    logits = torch_weights.seeded(name)(torch_weights.seeded_image(), training=False)
    assert expected.shape == (1, *torch_weights.SIZE, torch_weights.CLASSES)
    assert apart(logits, expected) < TOLERANCE


def test_the_image_has_ties_and_odd_sizes():
    image = torch_weights.seeded_image()
    assert image.shape[1:3] == (37, 51)
    blocks = image[:, :36, :50].reshape(1, 18, 2, 25, 2, 3)
    tied = blocks.min((2, 4)) == blocks.max((2, 4))
    assert 0.9 < tied.mean()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return torch_weights.seeded("segnet_lite")


def names(model: keras.Model) -> list[str]:
    return [
        f"some.where.{layer.name}.{torch_weights.NAMES[weight.name]}"
        for layer in model.layers
        for weight in layer.weights
    ]


def test_weights_that_go_there_and_back_are_the_same(model):
    other = torch_weights.build("segnet_lite", torch_weights.CLASSES)
    state = torch_weights.to_torch(model, names(model))
    torch_weights.from_torch(other, state)
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two, one.path)


def test_a_state_that_does_not_fit_changes_nothing(model):
    state = torch_weights.to_torch(model, names(model))
    before = [weight.numpy() for weight in model.weights]
    changed = {name: values + 1 for name, values in state.items()}
    last = next(name for name in reversed(changed) if name.endswith("classifier.bias"))
    missing = {name: values for name, values in changed.items() if name != last}
    with pytest.raises(ValueError, match="1 weights .* classifier.bias"):
        torch_weights.from_torch(model, missing)
    with pytest.raises(ValueError, match="another.weight"):
        torch_weights.from_torch(model, {**changed, "another.weight": np.zeros(2)})
    with pytest.raises(ValueError, match="shape .*classifier"):
        torch_weights.from_torch(model, {**changed, last: np.zeros(2)})
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, values)


# With PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def in_torch(model: keras.Model, name: str):
    """A model of `torch_weights.seeded(name)` as a PyTorch module."""
    import torch

    from benchmarks import torch_models

    kind = torch_models.SegNetLite if "lite" in name else torch_models.SegNet
    module = kind(torch_weights.CLASSES, **torch_weights.NETWORKS[name])
    state = torch_weights.to_torch(model, module.state_dict())
    module.load_state_dict({key: torch.from_numpy(v) for key, v in state.items()})
    return module.eval()


def logits_of(module, image: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        logits = module(torch.from_numpy(image).permute(0, 3, 1, 2))
    return logits.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [(33, 47), (32, 64), (45, 60), (1, 17)])
@pytest.mark.parametrize("name", torch_weights.NETWORKS)
def test_logits_are_equal_at_any_size(name, size, rng, torch):
    model = torch_weights.seeded(name)
    module = in_torch(model, name)
    image = rng.uniform(0, 255, (2, *size, 3)).astype(np.float32)
    expected = logits_of(module, image)
    for mode in ("argmax", "mask"):
        logits = with_pooling_mode(model, mode)(image, training=False)
        assert apart(logits, expected) < TOLERANCE


def test_pytorch_trains_and_keras_takes_its_weights(torch):
    model = torch_weights.seeded("segnet_lite")
    module = in_torch(model, model.name).train()
    image = torch_weights.seeded_image()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-2)
    module(torch.from_numpy(image).permute(0, 3, 1, 2)).square().mean().backward()
    optimizer.step()
    before = model(image, training=False)
    torch_weights.from_torch(model, module.state_dict())
    expected = logits_of(module.eval(), image)
    assert apart(before, expected) > 0.01
    assert apart(model(image, training=False), expected) < TOLERANCE


def test_statistics_move_at_the_same_rate(torch):
    """A step in training mode; PyTorch's variance divides by N - 1, Keras' by N."""
    model = torch_weights.seeded("segnet")
    module = in_torch(model, model.name).train()
    image = torch_weights.seeded_image()
    with torch.no_grad():
        module(torch.from_numpy(image).permute(0, 3, 1, 2))
    model(image, training=True)
    state = torch_weights.to_torch(model, module.state_dict())
    found = {key: value.numpy() for key, value in module.state_dict().items()}
    [mean] = [key for key in found if key.endswith("conv1_1_bn.running_mean")]
    np.testing.assert_allclose(found[mean], state[mean], rtol=1e-4, atol=1e-4)
    variance = mean.replace("mean", "var")
    count = image.shape[1] * image.shape[2]
    apart = abs(found[variance] / state[variance] - 1).max()
    assert 0.9 / count < apart < 1.1 / count


def test_pytorch_s_copy_loads_no_tensorflow(torch):
    code = "import sys, benchmarks.torch_models; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True).strip() == "False"
