"""Make timm_dilation.npz: the last feature maps of timm's nets with an output stride of 8 and of 16.

    python tests/golden/make_timm_dilation.py

in an environment with PyTorch and timm. The file says with which versions it was made.
"""

import pathlib

import numpy as np
import timm
import torch
from torchvision_weights import images, make

# Odd and even sizes differ where padding is not symmetric.
SIZES = ((64, 48), (65, 47))
CHANNELS = 32  # of each map, evenly spread: all would be megabytes


def main():
    golden = {"versions": f"torch {torch.__version__}, timm {timm.__version__}"}
    for depth in (18, 50):
        for stride in (8, 16):
            net = timm.create_model(f"resnet{depth}", pretrained=False, output_stride=stride).eval()
            for key, value in net.state_dict().items():
                if not key.endswith("num_batches_tracked"):
                    value.copy_(torch.from_numpy(make(key, tuple(value.shape))))
            for height, width in SIZES:
                with torch.no_grad():
                    features = net.forward_features(
                        torch.from_numpy(images(height, width).transpose(0, 3, 1, 2))
                    )
                every = features.shape[1] // CHANNELS
                features = features[:, ::every].permute(0, 2, 3, 1).numpy()
                golden[f"resnet{depth}_stride{stride}_{height}x{width}"] = features
    np.savez_compressed(pathlib.Path(__file__).with_name("timm_dilation.npz"), **golden)
    for name, value in golden.items():
        print(name, value if np.ndim(value) == 0 else (np.shape(value), float(np.abs(value).max())))


if __name__ == "__main__":
    main()
