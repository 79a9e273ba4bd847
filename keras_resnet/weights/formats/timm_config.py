"""Reads the `config.json` that timm keeps in the folder of a `.safetensors` file."""

import dataclasses
import json
import math
import os
import pathlib
import re
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.weights.eval_settings import INTERPOLATIONS, EvalSettings
from keras_resnet.weights.normalization import Normalization, from_unit_range

_CONFIG = "config.json"
_MAX_BYTES = 2**20
_MAX_SIDE = 4096
# Others, such as resnetaa50 and resnetblur50, have weights with the same names and shapes.
_KNOWN = re.compile(r"(tv_)?resnet\d+d?|resnext\d+_\d+x\d+d|wide_resnet\d+_2")
# Characters of a name in a message.
_MAX_NAME = 80
# timm's own defaults, for keys that a configuration lacks.
_INPUT_SIZE, _CROP_PCT, _INTERPOLATION, _CROP_MODE = (3, 224, 224), 0.875, "bicubic", "center"


@dataclasses.dataclass(frozen=True)
class TimmConfig:
    """How images are prepared for timm's weights.

    Args:
        normalization: of pixels.
        eval: evaluation transform; None where it is not a resize and a center crop to a square.
    """

    normalization: Normalization
    eval: EvalSettings | None


def read_timm_config(path: str | os.PathLike) -> TimmConfig | None:
    """Reads the configuration next to a file of weights; None where there is none of timm's.

    Raises:
        UserError: the configuration cannot be understood, or the weights are of another network than a plain
            ResNet.
    """
    config = pathlib.Path(path).with_name(_CONFIG)
    if not config.is_file():
        return None
    try:
        if config.stat().st_size > _MAX_BYTES:
            raise ValueError("it is larger than any of timm's")
        content = json.loads(config.read_text(encoding="utf-8"))
        if "pretrained_cfg" not in content:
            return None  # written by another library
        if not _KNOWN.fullmatch(content["architecture"]):
            raise UserError(
                f"has weights of timm's {content['architecture'][:_MAX_NAME]}, which computes something else "
                "than a ResNet with weights of these names; use resnet18, 34, 50, 101 or 152, those with "
                "a d, resnext50_32x4d, resnext101_32x8d, resnext101_64x4d, wide_resnet50_2 or "
                "wide_resnet101_2.",
                value=path,
            )
        settings = content["pretrained_cfg"]
        return TimmConfig(_normalization(settings), _eval_settings(settings))
    except UserError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            "is not the config.json of a timm model; remove or replace it.", value=config
        ) from error


def _normalization(settings: dict[str, Any]) -> Normalization:
    mean, std = (from_unit_range(settings[name]) for name in ("mean", "std"))
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError("mean and std need a number for each of three colors")
    return Normalization(mean, std)


def _eval_settings(settings: dict[str, Any]) -> EvalSettings | None:
    """As timm's `resolve_data_config(use_test_size=True)` and `transforms_imagenet_eval` have it."""
    _, height, width = settings.get("test_input_size") or settings.get("input_size") or _INPUT_SIZE
    crop_pct = float(settings.get("test_crop_pct") or settings.get("crop_pct") or _CROP_PCT)
    interpolation = settings.get("interpolation") or _INTERPOLATION
    crop_mode = settings.get("crop_mode") or _CROP_MODE
    if not all(isinstance(side, int) and 1 <= side <= _MAX_SIDE for side in (height, width)):
        raise ValueError("input_size needs sides in pixels")
    if not 0.1 <= crop_pct <= 1:
        raise ValueError("crop_pct must be a fraction of the image's shorter side")
    if height != width or crop_mode != _CROP_MODE or interpolation not in INTERPOLATIONS:
        return None
    return EvalSettings(height, math.floor(height / crop_pct), interpolation)
