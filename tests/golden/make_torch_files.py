"""Make torch_files/: small files of weights as PyTorch and safetensors write them, and what is in them.

    python tests/golden/make_torch_files.py

in an environment with PyTorch and safetensors. The weights are those of a net cut down to its first and last
layers: reading a file does not depend on what is in it.
"""

import argparse
import collections
import pathlib

import numpy as np
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).with_name("torch_files")


def main():
    FOLDER.mkdir(exist_ok=True)
    random = torch.Generator().manual_seed(0)
    state = collections.OrderedDict(
        {
            "conv1.weight": torch.randn(4, 3, 3, 3, generator=random),
            "bn1.weight": torch.randn(4, generator=random),
            "bn1.num_batches_tracked": torch.tensor(7),
            "fc.weight": torch.randn(5, 4, generator=random),
            # Not in a row in memory, and a part of a larger storage.
            "fc.bias": torch.randn(20, generator=random)[3::4],
        }
    )
    np.savez(FOLDER / "values.npz", **{key: value.contiguous().numpy() for key, value in state.items()})
    plain = {key: value.clone() for key, value in state.items()}

    def save(name, value, **options):
        torch.save(value, FOLDER / name, **options)

    save("state.pth", state)
    save("legacy.pth", state, _use_new_zipfile_serialization=False)
    save(
        "channels_last.pth",
        {**state, "conv1.weight": state["conv1.weight"].to(memory_format=torch.channels_last)},
    )
    save("parameters.pth", {key: _parameter(value) for key, value in state.items()})
    save(
        "half.pth",
        {key: value.half() if value.is_floating_point() else value for key, value in state.items()},
    )
    save(
        "bfloat16.pth",
        {key: value.bfloat16() if value.is_floating_point() else value for key, value in state.items()},
    )
    parallel = {f"module.{key}": value for key, value in state.items()}
    others = {key: value + 1 for key, value in state.items()}
    save(
        "checkpoint.pth",
        {"epoch": 3, "state_dict": parallel, "optimizer": {"lr": 0.1, "state": {0: state["bn1.weight"]}}},
    )
    save(
        "ema.pth",
        {
            "epoch": 3,
            "state_dict": others,
            "state_dict_ema": {f"_orig_mod.{k}": v for k, v in parallel.items()},
        },
    )
    save("arguments.pth", {"state_dict": state, "args": argparse.Namespace(lr=0.1)})
    save("whole_model.pth", torch.nn.Linear(2, 2))
    safetensors.torch.save_file(plain, FOLDER / "state.safetensors")
    halves = {key: value.bfloat16() if value.is_floating_point() else value for key, value in plain.items()}
    safetensors.torch.save_file(halves, FOLDER / "bfloat16.safetensors")
    (FOLDER / "versions.txt").write_text(
        f"torch {torch.__version__}, safetensors {safetensors.__version__}\n"
    )


def _parameter(value):
    return torch.nn.Parameter(value) if value.is_floating_point() else value


if __name__ == "__main__":
    main()
