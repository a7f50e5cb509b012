"""Tiny networks of KerasHub with random weights, saved as presets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# As converters state the mean and standard deviation of ImageNet's photos.
TORCH = {
    "scale": [1 / (255 * one) for one in STD],
    "offset": [-middle / one for middle, one in zip(MEAN, STD, strict=True)],
}
TF = {"scale": 1 / 127.5, "offset": -1}


def _resnet(models: Any) -> Any:
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )


def _vit(models: Any) -> Any:
    return models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )


def _dinov2(models: Any) -> Any:
    return models.DINOV2Backbone(
        patch_size=14,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        image_shape=(42, 42, 3),
        position_embedding_shape=(56, 56, 3),
        drop_path_rate=0.5,
    )


def _dinov3(models: Any) -> Any:
    return models.DINOV3Backbone(
        patch_size=8,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        image_shape=(32, 32, 3),
    )


def _siglip(models: Any) -> Any:
    return models.SigLIPBackbone(
        vision_encoder=models.SigLIPVisionEncoder(
            patch_size=8,
            hidden_dim=16,
            num_layers=1,
            num_heads=2,
            intermediate_dim=32,
            image_shape=(32, 32, 3),
        ),
        text_encoder=models.SigLIPTextEncoder(
            vocabulary_size=30,
            embedding_dim=16,
            hidden_dim=16,
            num_layers=1,
            num_heads=2,
            intermediate_dim=32,
        ),
    )


def _swin(models: Any) -> Any:
    # Its second block has shifted windows, with a mask.
    return models.SwinTransformerBackbone(
        image_shape=(32, 32, 3), embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=4
    )


def _efficientnet(models: Any) -> Any:
    return models.EfficientNetBackbone(
        stackwise_width_coefficients=[0.25, 0.25],
        stackwise_depth_coefficients=[1.0, 1.0],
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[16, 16],
        stackwise_output_filters=[16, 24],
        stackwise_expansion_ratios=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_block_types=["v1", "v1"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        min_depth=8,
        activation="swish",
        image_shape=(None, None, 3),
    )


# By name: the network, its image converter, size and values.
PRESETS: dict[str, tuple[Callable[[Any], Any], str, int, dict[str, Any]]] = {
    "tiny_resnet": (_resnet, "ResNetImageConverter", 48, TORCH),
    "tiny_efficientnet": (_efficientnet, "EfficientNetImageConverter", 48, {"scale": 1 / 255}),
    "tiny_vit": (_vit, "ViTImageConverter", 32, TF),
    "tiny_dinov2": (_dinov2, "DINOV2ImageConverter", 42, TORCH),
    "tiny_dinov3": (_dinov3, "DINOV3ImageConverter", 32, TORCH),
    "tiny_siglip": (_siglip, "SigLIPImageConverter", 32, TF),
    "tiny_swin": (_swin, "SwinTransformerImageConverter", 32, TORCH),
}


def save_preset(root: Path, name: str) -> Path:
    """Saves a network, with random weights and its image converter, as a preset in a folder."""
    import keras
    import keras_hub

    build, converter, size, values = PRESETS[name]
    keras.utils.set_random_seed(1)
    build(keras_hub.models).save_to_preset(str(root / name))
    made = getattr(keras_hub.layers, converter)(image_size=(size, size), **values)
    made.save_to_preset(str(root / name))
    return root / name
