"""Encoders from the Hugging Face Hub, or from a folder that holds the same files.

Pathology's public encoders are large and most stand behind a licence that a person must accept, so none is part of
this package. Their files are taken from the folder `<SARCNET_ENCODERS>/<name>` where there is one (a hospital without a
network), otherwise downloaded, with the token in HF_TOKEN where the page asks for an account. From there on both
ways are the same.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.encoders.encoder import Encoder, Hub

FOLDER_VARIABLE = "SARCNET_ENCODERS"
TOKEN_VARIABLE = "HF_TOKEN"
TRUST_VARIABLE = "SARCNET_TRUST_REMOTE_CODE"
WEIGHTS = ("*.safetensors", "*.bin")
FILES = (*WEIGHTS, "*.json", "*.py")


class HubRuntime:
    """Runs an encoder of the Hub with torch: on a graphics card in mixed precision where there is one, otherwise on the
    processor in single precision. `encode` may be called from many threads; it works on one batch at a time, while
    the other threads read.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Find or fetch the files and build the network.

        Raises:
            SarcnetError: a library, the files, access, or trust is missing; the message says how to get it.
        """
        torch = _library("torch")
        self.encoder = encoder
        folder = encoder_folder(encoder)
        maker = _library(_hub(encoder).library)
        libraries = f"torch {torch.__version__}, {maker.__name__} {getattr(maker, '__version__', '')}"
        self.identity: tuple[str, ...] = (encoder.name, encoder.pooling, _sha256(folder), libraries)
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._network, self._tokens = _LOADERS[_hub(encoder).library](encoder, folder)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise SarcnetError(
                f"The files of {encoder.name} in {folder.name} are not those of {_hub(encoder).id} ({error}): take them "
                f"again from {_hub(encoder).page}."
            ) from error
        self._network = self._network.eval().requires_grad_(False).to(self._device)
        self._mean, self._std = (
            torch.tensor(v, device=self._device).view(1, 3, 1, 1) for v in (encoder.mean, encoder.std)
        )
        self._lock = threading.Lock()

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 RGB -> (n, dim) float32.

        Raises:
            SarcnetError: the network gives another number of features than the table says.
        """
        torch = self._torch
        with self._lock, torch.inference_mode():
            x = torch.from_numpy(tiles).to(self._device).permute(0, 3, 1, 2).float() / 255  # (n, 3, h, w)
            with torch.autocast("cuda", enabled=self._device == "cuda"):
                features = self._tokens((x - self._mean) / self._std)  # (n, dim)
            found = features.float().cpu().numpy()
        if found.shape[1] != self.encoder.dim:
            raise SarcnetError(
                f"{self.encoder.name} should give {self.encoder.dim} features a tile but gave {found.shape[1]}: its "
                f"files are of another model; take them again from {_hub(self.encoder).page}."
            )
        return found


def encoder_folder(encoder: Encoder) -> Path:
    """Folder with the encoder's files: the one laid out by hand, or a download (kept by huggingface_hub's cache)."""
    hub = _hub(encoder)
    if hub.own_code and os.environ.get(TRUST_VARIABLE) != "1":
        raise SarcnetError(
            f"{encoder.name} comes with Python code of its own, which would run here: read it on {hub.page}, and if "
            f"you trust it, set {TRUST_VARIABLE}=1."
        )
    if named := os.environ.get(FOLDER_VARIABLE):
        folder = Path(named) / encoder.name
        if folder.is_dir():
            return folder
    hub_library = _library("huggingface_hub")
    try:
        return Path(hub_library.snapshot_download(hub.id, allow_patterns=list(FILES)))
    except (OSError, ValueError, hub_library.errors.HfHubHTTPError) as error:
        raise SarcnetError(_how_to_get(encoder, error)) from error


def _how_to_get(encoder: Encoder, error: Exception) -> str:
    hub = _hub(encoder)
    kind = type(error).__name__
    if kind == "GatedRepoError" or "401" in str(error) or "403" in str(error):
        what = f"{encoder.name} is behind a gate: visit {hub.page}, accept its licence ({encoder.licence}), and"
    elif hub.gated:
        what = f"{encoder.name} could not be fetched ({kind}). It is behind a gate: visit {hub.page} for access, then"
    else:
        what = f"{encoder.name} could not be fetched from {hub.page} ({kind}). If it asks for an account,"
    return (
        f"{what} put your token into the variable {TOKEN_VARIABLE}. Without a network, lay the model's files into the "
        f"folder {encoder.name} of the folder that {FOLDER_VARIABLE} names."
    )


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name == "conch":
            hint = "pip install git+https://github.com/mahmoodlab/CONCH.git"
        else:
            hint = "pip install 'sarcnet[encoders]'"
        raise SarcnetError(f"This encoder needs the package {name}, which is not installed: {hint}.") from error


def _hub(encoder: Encoder) -> Hub:
    if encoder.hub is None:
        raise SarcnetError(f"{encoder.name} is built in and has no page on the Hub.")
    return encoder.hub


def _sha256(folder: Path) -> str:
    """Over all files that make the network, weights, configuration and code: what a feature file must remember."""
    digest = hashlib.sha256()
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    if not any(path.match(pattern) for path in files for pattern in WEIGHTS):
        raise SarcnetError(
            f"The folder {folder.name} holds no weights (*.safetensors or *.bin): copy the model's files."
        )
    for path in files:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


Loaded = tuple[Any, Callable[[Any], Any]]


def _timm(encoder: Encoder, folder: Path) -> Loaded:
    timm, torch, hub = _library("timm"), _library("torch"), _hub(encoder)
    options = dict(hub.options)
    if hub.swiglu:
        options |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    network = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True, num_classes=0, **options)

    def pooled(x: Any) -> Any:
        tokens = network.forward_features(x)  # (n, prefix + patches, d): class token, registers, patches
        return _pool(encoder.pooling, tokens, prefix=network.num_prefix_tokens, torch=torch)

    return network, pooled


def _transformers(encoder: Encoder, folder: Path) -> Loaded:
    transformers, torch = _library("transformers"), _library("torch")
    trust = {"trust_remote_code": True} if _hub(encoder).own_code else {}
    pooler = {"add_pooling_layer": False} if encoder.name == "phikon" else {}  # its pooler was never trained
    network = transformers.AutoModel.from_pretrained(folder, local_files_only=True, **trust, **pooler)
    registers = int(getattr(network.config, "num_register_tokens", 0))

    def pooled(x: Any) -> Any:
        out = network(pixel_values=x)
        if encoder.pooling == "pooler":
            return out.pooler_output
        return _pool(encoder.pooling, out.last_hidden_state, prefix=1 + registers, torch=torch)

    return network, pooled


def _conch(encoder: Encoder, folder: Path) -> Loaded:
    module = _library("conch.open_clip_custom") if importlib.util.find_spec("conch") else _library("conch")
    network, _ = module.create_model_from_pretrained(
        "conch_ViT-B-16", checkpoint_path=str(folder / "pytorch_model.bin")
    )
    return network, lambda x: network.encode_image(x, proj_contrast=False, normalize=False)


def _pool(pooling: str, tokens: Any, *, prefix: int, torch: ModuleType) -> Any:
    """(n, prefix + patches, d) -> (n, d) "cls", or (n, 2 d) "cls+mean", registers left out."""
    if pooling == "cls":
        return tokens[:, 0]
    return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(1)], dim=-1)


_LOADERS: dict[str, Callable[[Encoder, Path], Loaded]] = {
    "timm": _timm,
    "transformers": _transformers,
    "conch": _conch,
}
