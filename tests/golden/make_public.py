"""Make public.npz: what torchvision's and timm's nets and transforms say of two photographs.

    python tests/golden/make_public.py

in an environment with PyTorch, torchvision, timm and scikit-learn. The file says with which versions it was
made. Weights are random, made from their names.
"""

import pathlib

import numpy as np
import PIL.Image
import sklearn
import timm
import torch
import torchvision
from sklearn.datasets import load_sample_images
from torchvision_weights import make

DEPTHS = {"torchvision": (18, 34, 50, 101, 152), "timm": (18, 34, 50)}
# Every so many-th pixel of a transformed photograph is kept, down and across.
KEPT = 7


def main():
    golden = {
        "versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"timm {timm.__version__}, scikit-learn {sklearn.__version__}"
    }
    photographs = [PIL.Image.fromarray(image) for image in load_sample_images().images]
    transforms = {
        "torchvision-v1": torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms(),
        "torchvision-v2": torchvision.models.ResNet50_Weights.IMAGENET1K_V2.transforms(),
        "timm-a1": _timm_transform("resnet50.a1_in1k"),
    }
    for name, transform in transforms.items():
        seen = torch.stack([transform(photograph) for photograph in photographs])
        golden[f"{name}_pixels"] = seen.numpy()[:, :, ::KEPT, ::KEPT]
    images = torch.stack([transforms["torchvision-v1"](photograph) for photograph in photographs])
    for library, depths in DEPTHS.items():
        for depth in depths:
            golden[f"{library}_resnet{depth}"] = _logits(_net(library, depth), images)
    np.savez_compressed(pathlib.Path(__file__).with_name("public.npz"), **golden)
    for name, value in golden.items():
        print(name, value if np.ndim(value) == 0 else (np.shape(value), float(np.abs(value).max())))


def _timm_transform(name):
    cfg = timm.get_pretrained_cfg(name).to_dict()
    data = timm.data.resolve_data_config({}, pretrained_cfg=cfg, use_test_size=True)
    return timm.data.create_transform(**data)


def _net(library, depth):
    if library == "timm":
        return timm.create_model(f"resnet{depth}", pretrained=False)
    return getattr(torchvision.models, f"resnet{depth}")(weights=None)


def _logits(net, images):
    net.eval()
    for key, value in net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            value.copy_(torch.from_numpy(make(key, tuple(value.shape))))
    with torch.no_grad():
        return net(images).numpy()


if __name__ == "__main__":
    main()
