"""Make later.npz: what torchvision's and timm's later networks answer, and how large they are.

    python tests/golden/make_later.py

in an environment with PyTorch, torchvision and timm. The file says with which versions it was made. Weights
are random, made from their names, which are in the file with their shapes.
"""

import pathlib

import numpy as np
import timm
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode
from torchvision_weights import images, make

# Odd and even sizes differ where padding is not symmetric.
SIZES = ((64, 96), (65, 47))
# Logits that are kept.
KEPT = 100
NETWORKS = {
    torchvision: (
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ),
    timm: ("resnet18d", "resnet34d", "resnet50d", "resnet101d", "resnet152d"),
}


def main():
    golden = {
        "versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"timm {timm.__version__}"
    }
    for library, names in NETWORKS.items():
        for name in names:
            net = timm.create_model(name) if library is timm else getattr(torchvision.models, name)()
            golden |= {f"{name}_{key}": value for key, value in _describe(net.eval()).items()}
    np.savez_compressed(pathlib.Path(__file__).with_name("later.npz"), **golden)
    for name, value in golden.items():
        print(name, value if np.ndim(value) == 0 else np.shape(value))


def _describe(net):
    state = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    for key, value in state.items():
        value.copy_(torch.from_numpy(make(key, tuple(value.shape))))
    described = {
        "keys": np.array(list(state)),
        "shapes": np.array([(*value.shape, *[0] * (4 - value.ndim)) for value in state.values()]),
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    for height, width in SIZES:
        with torch.no_grad():
            logits = net(torch.from_numpy(images(height, width).transpose(0, 3, 1, 2)))
        described[f"{height}x{width}"] = logits.numpy()[:, :KEPT]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    described["macs"] = counter.get_total_flops() // 2
    return described


if __name__ == "__main__":
    main()
