"""A Keras network of this package as a PyTorch module, from `pack.plan`'s record."""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Graph"]


class Graph(nn.Module):
    """Computes a plan. Images are (B, 3, H, W) in [0, 255], logits (B, classes, H, W).

    Args:
        steps: of `plan`.
        weights: of `plan`.
    """

    def __init__(self, steps: list[dict], weights: dict):
        super().__init__()
        self.steps = steps
        self.depthwise = {
            step["name"] for step in steps if step["kind"] == "FastDepthwiseConv2D"
        }
        # A ParameterDict takes no dots and no slashes.
        self.trained, self.moving = nn.ParameterDict(), nn.ParameterDict()
        for path, value in self._turned(weights):
            moving = "/moving_" in path
            chosen = self.moving if moving else self.trained
            chosen[path.replace("/", "-")] = nn.Parameter(value, not moving)

    def _turned(self, weights: dict):
        """Weights in PyTorch's order of axes."""
        for path, value in weights.items():
            value = torch.tensor(value)
            if value.ndim == 4:
                value = value.permute(self._order(path)).contiguous()
            yield path, value

    @torch.no_grad()
    def load(self, weights: dict) -> None:
        """Takes other weights, in the place of its own ones."""
        own = {**self.trained, **self.moving}
        for path, value in self._turned(weights):
            own[path.replace("/", "-")].copy_(value)

    def _order(self, path: str) -> tuple[int, ...]:
        """Keras' axes (h, w, in, out), or (h, w, channels, 1), in PyTorch's order."""
        return (2, 3, 0, 1) if path.split("/")[0] in self.depthwise else (3, 2, 0, 1)

    def weights(self) -> dict:
        """All weights under Keras' names, in Keras' order of axes."""
        found = {}
        for name, value in [*self.trained.items(), *self.moving.items()]:
            path, value = name.replace("-", "/"), value.detach().float().cpu()
            if value.ndim == 4:
                back = [self._order(path).index(axis) for axis in range(4)]
                value = value.permute(back)
            found[path] = value.contiguous().numpy()
        return found

    def forward(self, images):
        values = {}
        for step in self.steps:
            inputs = [values[key] for key in step["inputs"]]
            outputs = self._computed(step, inputs or [images])
            for index, output in enumerate(outputs):
                values[f"{step['name']}:{index}"] = output
        return outputs[0]

    def _computed(self, step: dict, inputs: list) -> tuple:
        x, kind, name = inputs[0], step["kind"], step["name"]
        if kind == "InputLayer":
            return (x,)
        if kind == "Rescaling":
            return (x * step["scale"] + step["offset"],)
        if kind == "LocalResponseNormalization":
            size = 2 * step["radius"] + 1
            # PyTorch divides its alpha by the window, TensorFlow does not.
            alpha = step["alpha"] * size
            return (F.local_response_norm(x, size, alpha, step["beta"], step["bias"]),)
        if kind == "Conv2D":
            kernel = self.trained[f"{name}-kernel"]
            has_bias = f"{name}-bias" in self.trained
            bias = self.trained[f"{name}-bias"] if has_bias else None
            return (F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2),)
        if kind == "FastDepthwiseConv2D":
            kernel = self.trained[f"{name}-kernel"]
            wide, reach = kernel.shape[-1] // 2, step["dilation"]
            return (
                F.conv2d(
                    x,
                    kernel,
                    padding=wide * reach,
                    dilation=reach,
                    groups=kernel.shape[0],
                ),
            )
        if kind == "FusedBatchNormalization":
            return (
                F.batch_norm(
                    x,
                    self.moving[f"{name}-moving_mean"],
                    self.moving[f"{name}-moving_variance"],
                    self.trained[f"{name}-gamma"],
                    self.trained[f"{name}-beta"],
                    self.training,
                    1 - step["momentum"],
                    step["epsilon"],
                ),
            )
        if kind == "ReLU":
            return (F.relu6(x) if step["most"] == 6 else F.relu(x),)
        if kind == "Add":
            return (inputs[0] + inputs[1],)
        if kind == "MaxPoolingWithArgmax2D":
            return F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
        if kind == "MaxUnpooling2D":
            like = inputs[2]
            return (F.max_unpool2d(x, inputs[1], 2, 2, output_size=like.shape[-2:]),)
        raise ValueError(f"{name}: no {kind} here")
