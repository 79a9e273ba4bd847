"""What the constructors take, for editors and type checkers; `resnet.py` makes them of `ResNet`'s arguments.

A test holds these lists and the real ones together.
"""

from collections.abc import Callable
from typing import Protocol

import keras

from keras_resnet.models.origin import Weights

Activation = str | Callable | None
Shape = tuple[int | None, ...] | None


class ResidualNet(Protocol):
    """`ResNet18` and its like."""

    def __call__(
        self,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        name: str | None = ...,
        *,
        shortcut: str | None = "B",
        variant: str | None = None,
        output_stride: int | None = None,
        drop_path: float = 0.0,
        zero_gamma: bool = False,
    ) -> keras.Model: ...


class PlainNet(Protocol):
    """`PlainNet18` and its like."""

    def __call__(
        self,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        name: str | None = ...,
        *,
        output_stride: int | None = None,
        drop_path: float = 0.0,
        zero_gamma: bool = False,
    ) -> keras.Model: ...


class CifarResidualNet(Protocol):
    """`CifarResNet`."""

    def __call__(
        self,
        depth: int,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 10,
        classifier_activation: Activation = "softmax",
        name: str | None = ...,
        *,
        shortcut: str | None = "A",
        output_stride: int | None = None,
        drop_path: float = 0.0,
        zero_gamma: bool = False,
    ) -> keras.Model: ...


class CifarPlain(Protocol):
    """`CifarPlainNet`."""

    def __call__(
        self,
        depth: int,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 10,
        classifier_activation: Activation = "softmax",
        name: str | None = ...,
        *,
        output_stride: int | None = None,
        drop_path: float = 0.0,
        zero_gamma: bool = False,
    ) -> keras.Model: ...
