"""Training on a GPU: the JAX engine beside PyTorch's compiler and Keras' own `fit`; needs no TensorFlow.

    python benchmarks/gpu.py --output=gpu.json                 # all parts, a quarter of an hour
    python benchmarks/gpu.py --output=gpu.json --small         # the same on a processor, to try the script
    python benchmarks/gpu.py --parts=peak,ours-50-256 --output=gpu.json

Each part is a process with a time limit of its own. What it has measured is in the file as soon as it ends,
and a part that fails or takes too long leaves its error there.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
CLASSES, SECONDS = 1000, 8.0


def peak(small: bool) -> dict[str, float]:
    """Multiplies square bfloat16 matrices: what the card can do at best."""
    import jax
    import jax.numpy as jnp

    size = 512 if small else 8192
    matrix = jnp.ones((size, size), jnp.bfloat16)
    multiply = jax.jit(lambda a, b: a @ b)
    rates = _rates(lambda: multiply(matrix, matrix).block_until_ready(), 2 * size**3, small)
    return {"tera_operations_per_second": statistics.median(rates) / 1e12}


def ours(small: bool, depth: int, batch: int, rematerialize: tuple[str, ...] = ()) -> dict[str, float]:
    """Trains a bottleneck network in bfloat16 on one constant batch."""
    import keras

    import keras_resnet

    keras.config.set_dtype_policy("mixed_bfloat16")
    size, batch = (64, 4) if small else (224, batch)
    model = getattr(keras_resnet, f"ResNet{depth}")(input_shape=(size, size, 3), weights=None)
    return _train(model, batch, size, CLASSES, small, rematerialize)


def cifar(small: bool, depth: int) -> dict[str, float]:
    """Trains a CIFAR network in bfloat16 on images that live on the device and are cropped there."""
    import keras
    import numpy as np

    import keras_resnet
    from keras_resnet.training import ImageArrays
    from keras_resnet.training.engines import default_engine

    keras.config.set_dtype_policy("mixed_bfloat16")
    random = np.random.default_rng(0)
    count, batch = (256, 16) if small else (50_000, 128)
    images = random.integers(0, 256, (count, 32, 32, 3), "uint8")
    arrays = ImageArrays(images, random.integers(0, 10, count), padding=4, hflip=True)
    model = keras_resnet.CifarResNet(8 if small else depth, classes=10, weights=None)
    steps = default_engine().make_steps(model, _recipe(batch), arrays)
    rows = arrays.rows(batch, 0, 0, 1)
    per_call = steps.steps_per_call

    def call():
        steps.train_steps([next(rows) for _ in range(per_call)], [0.1] * per_call)

    return {**_speed(_rates(call, batch * per_call, small)), "steps_per_call": per_call}


def keras_fit(small: bool, batch: int) -> dict[str, float]:
    """Trains keras.applications' ResNet50 by `fit`, in bfloat16 on one constant batch."""
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    size, batch = (64, 4) if small else (224, batch)
    model = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3))
    model.compile(keras.optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = _batch(batch, size, CLASSES)
    steps = 2 if small else 10
    repeated = [part.repeat(steps, axis=0) for part in (images.astype("float32"), labels)]
    rates = _rates(
        lambda: model.fit(*repeated, batch_size=batch, epochs=1, shuffle=False, verbose=0),
        batch * steps,
        small,
    )
    return _speed(rates)


def torch_compile(small: bool, batch: int) -> dict[str, float]:
    """Trains torchvision's resnet50 under torch.compile, channels last, bfloat16, on one constant batch."""
    import torch
    import torchvision

    device = "cpu" if small else "cuda"
    size, batch = (64, 4) if small else (224, batch)
    torch.backends.cudnn.benchmark = True
    model = torchvision.models.resnet50().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)

    def compute():
        with torch.autocast(device, torch.bfloat16):
            return torch.nn.functional.cross_entropy(model(images), labels)

    compiled = compute if small else torch.compile(compute, mode="max-autotune-no-cudagraphs")

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = compiled()
        loss.backward()
        optimizer.step()
        return loss.item()  # as our step returns its loss

    rates = _rates(step, batch, small)
    result = _speed(rates)
    if not small:
        result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return result


def paper(small: bool) -> dict[str, float]:
    """Trains ResNet-20 as the paper does, for 64,000 steps, on Fashion-MNIST (.npz)."""
    import keras
    import numpy as np

    from keras_resnet.models.architectures import cifar_architecture
    from keras_resnet.models.classifier import build_classifier
    from keras_resnet.training import ImageArrays, train
    from keras_resnet.training.recipes import get_recipe

    with np.load(os.environ.get("FASHION_MNIST", HERE / "fashion_mnist.npz")) as file:
        arrays = {name: file[name] for name in ("train_images", "train_labels", "test_images", "test_labels")}
    for name in ("train_images", "test_images"):
        arrays[name] = arrays[name].reshape(-1, 28, 28, 1)
    if small:
        arrays = {name: array[:512] for name, array in arrays.items()}
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    mean = arrays["train_images"].mean(axis=0, dtype="float64")
    model = build_classifier(cifar_architecture(8 if small else 20), (28, 28, 1), 10, mean)
    recipe = get_recipe("cifar")
    if small:
        recipe = dataclasses.replace(recipe, iterations=8, milestones=(4, 6))
    start = time.perf_counter()
    state = train(
        model,
        ImageArrays(arrays["train_images"], arrays["train_labels"], padding=4, hflip=True),
        (arrays["test_images"], arrays["test_labels"]),
        recipe,
        callbacks=[],
    )
    return {
        "minutes": (time.perf_counter() - start) / 60,
        "validation_error": state.validation["val_error"],
        "steps": state.step,
    }


def profile(small: bool) -> dict[str, object]:
    """Traces ten ResNet-50 steps, for a profiler that shows where their time goes, and times them."""
    import keras
    import numpy as np

    import keras_resnet
    from keras_resnet.training.engines import default_engine

    keras.config.set_dtype_policy("mixed_bfloat16")
    size, batch = (64, 4) if small else (224, 256)
    model = keras_resnet.ResNet50(input_shape=(size, size, 3), weights=None)
    steps = default_engine().make_steps(model, _recipe(batch))
    images, labels = _batch(batch, size, CLASSES)
    start = time.perf_counter()
    steps.train_step(images, labels)
    compiled = time.perf_counter() - start
    import jax

    folder = pathlib.Path(os.environ.get("PROFILE", "/tmp/gpu-profile"))
    with jax.profiler.trace(str(folder)):
        times = []
        for _ in range(2 if small else 10):
            start = time.perf_counter()
            steps.train_step(images, labels)
            times.append(time.perf_counter() - start)
    return {"first_step_seconds": compiled, "step_seconds": float(np.median(times)), "trace": str(folder)}


# Name: the function, its arguments, and its limit in seconds.
PARTS = {
    "peak": (peak, {}, 40),
    "ours-50-256": (ours, {"depth": 50, "batch": 256}, 150),
    "torch-50-256": (torch_compile, {"batch": 256}, 180),
    "ours-50-512": (ours, {"depth": 50, "batch": 512}, 120),
    "torch-50-512": (torch_compile, {"batch": 512}, 150),
    "batch-norm-50-256": (ours, {"depth": 50, "batch": 256, "rematerialize": ("batch_norm",)}, 150),
    "keras-50-256": (keras_fit, {"batch": 256}, 120),
    "ours-152-256": (ours, {"depth": 152, "batch": 256}, 180),
    "cifar-20": (cifar, {"depth": 20}, 60),
    "cifar-56": (cifar, {"depth": 56}, 90),
    "profile": (profile, {}, 120),
    "paper": (paper, {}, 420),
}


def _recipe(batch: int):
    from keras_resnet.training import Recipe

    return Recipe("benchmark", batch, epochs=1, learning_rate=0.1)


def _batch(batch: int, size: int, classes: int):
    import numpy as np

    random = np.random.default_rng(0)
    return random.integers(0, 256, (batch, size, size, 3), "uint8"), random.integers(0, classes, batch)


def _train(
    model, batch: int, size: int, classes: int, small: bool, rematerialize: tuple[str, ...]
) -> dict[str, float]:
    import jax

    from keras_resnet.training.engines import default_engine

    engine = default_engine()
    steps = engine.make_steps(model, _recipe(batch), rematerialize=rematerialize)
    images, labels = (engine.share(part) for part in _batch(batch, size, classes))
    rates = _rates(lambda: steps.train_step(images, labels), batch, small)
    result = _speed(rates)
    memory = jax.local_devices()[0].memory_stats()
    if memory:
        result["peak_gib"] = memory["peak_bytes_in_use"] / 2**30
    return result


def _rates(run, work: float, small: bool) -> list[float]:
    """Returns work per second of a function, in five windows after it was called three times."""
    for _ in range(3):
        run()
    rates = []
    for _ in range(2 if small else 5):
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < (0.1 if small else SECONDS / 5) or not count:
            run()
            count += 1
        rates.append(work * count / (time.perf_counter() - start))
    return rates


def _speed(rates: list[float]) -> dict[str, float]:
    return {"images_per_second": statistics.median(rates), "low": min(rates), "high": max(rates)}


def _device() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() or "no GPU"
    except OSError:
        return "no GPU"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results" / "gpu.json")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        function, arguments, _ = PARTS[options.one]
        print("VALUE", json.dumps(function(options.small, **arguments)))
        return
    results: dict[str, object] = {"device": _device(), "small": options.small, "parts": {}}
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in options.parts.split(","):
        limit = PARTS[name][2]
        command = [sys.executable, __file__, f"--one={name}", *(["--small"] if options.small else [])]
        start = time.perf_counter()
        try:
            process = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=limit, check=False
            )
            values = [line[6:] for line in process.stdout.splitlines() if line.startswith("VALUE ")]
            found = json.loads(values[-1]) if values else {"error": process.stderr[-1500:]}
        except subprocess.TimeoutExpired:
            found = {"error": f"took more than {limit} s"}
        results["parts"][name] = {**found, "seconds": round(time.perf_counter() - start, 1)}
        options.output.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {results['parts'][name]}", flush=True)


if __name__ == "__main__":
    main()
