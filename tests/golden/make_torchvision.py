"""Make torchvision.npz: what torchvision's nets answer, how many parameters and multiply-adds they have.

    python tests/golden/make_torchvision.py

in an environment with PyTorch and torchvision. The file says with which versions it was made.
"""

import pathlib

import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode
from torchvision_weights import images, make

# Odd and even sizes differ where padding is not symmetric.
SIZES = ((64, 96), (65, 47))


def main():
    golden = {"versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}"}
    for depth in (18, 50):
        net = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
        state = net.state_dict()
        for key, value in state.items():
            if not key.endswith("num_batches_tracked"):
                value.copy_(torch.from_numpy(make(key, tuple(value.shape))))
        for height, width in SIZES:
            with torch.no_grad():
                logits = net(torch.from_numpy(images(height, width).transpose(0, 3, 1, 2)))
            golden[f"resnet{depth}_{height}x{width}"] = logits.numpy()
    for depth in (18, 34, 50, 101, 152):
        net = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 3, 224, 224))
        golden[f"resnet{depth}_macs"] = counter.get_total_flops() // 2
        golden[f"resnet{depth}_parameters"] = sum(p.numel() for p in net.parameters())
    np.savez_compressed(pathlib.Path(__file__).with_name("torchvision.npz"), **golden)
    for name, value in golden.items():
        print(name, value if np.ndim(value) == 0 else (np.shape(value), float(np.abs(value).max())))


if __name__ == "__main__":
    main()
