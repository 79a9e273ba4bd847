"""One image through the exported TFLite file, compared with ONNX Runtime, in float32 or int8.

`--depth=50` is ResNet-50 v1.5 at 224x224, `--depth=20` the CIFAR network at 32x32.
"""

import pathlib
import tempfile

import numpy as np
from compare import OURS, Benchmark, Side, main
from work import milliseconds_an_image, pixels

SIZES = {20: 32, 50: 224}
RUNS = {20: 400, 50: 20}


def ours(options):
    import keras
    from ai_edge_litert.interpreter import Interpreter

    from keras_resnet import export
    from keras_resnet.models import architectures
    from keras_resnet.models.classifier import build_classifier

    size = SIZES[options.depth]
    architecture = architectures.get_architecture(options.depth, variant="v1.5")
    keras.utils.set_random_seed(0)
    model = build_classifier(
        architecture, (size, size, 3), 1000 if size == 224 else 10, np.full((3,), 128.0, "float32")
    )
    kind = "int8" if options.bits == 8 else "float32"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.tflite")
        export.export_tflite(
            model, file, kind=kind, calibration=[pixels(8, size)] if kind == "int8" else None
        )
        interpreter = Interpreter(str(file), num_threads=options.threads)
    interpreter.allocate_tensors()
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    image = pixels(1, size)

    def run():
        interpreter.set_tensor(inputs["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return milliseconds_an_image(run, 1, RUNS[options.depth])


def onnx_runtime(options):
    import onnxruntime
    import torch
    import torchvision
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from torch_cifar import cifar_resnet

    size = SIZES[options.depth]
    model = torchvision.models.resnet50(weights=None) if size == 224 else cifar_resnet(20)
    images = (pixels(8, size).transpose(0, 3, 1, 2) / 128.0 - 1).astype("float32")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1

    class Calibration(quantization.CalibrationDataReader):
        waiting = iter([{"image": image[None]} for image in images])

        def get_next(self):
            return next(self.waiting, None)

    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder, "model.onnx"))
        example = (torch.from_numpy(images[:1]),)
        torch.onnx.export(model.eval(), example, file, input_names=["image"], dynamo=False)
        if options.bits == 8:
            # The fastest of nine ways: preprocessed as its documentation advises (otherwise it takes
            # four times as long), one scale for each channel, unsigned activations.
            prepared, original, file = str(pathlib.Path(folder, "prepared.onnx")), file, file + ".int8"
            quant_pre_process(original, prepared)
            quantization.quantize_static(
                prepared,
                file,
                Calibration(),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        session = onnxruntime.InferenceSession(file, settings)
    return milliseconds_an_image(lambda: session.run(None, {"image": images[:1]}), 1, RUNS[options.depth])


BENCHMARK = Benchmark(
    name="tflite",
    work="one image, ResNet-{depth}, {bits} bits, {threads} thread(s)",
    unit="ms",
    sides={OURS: Side(ours), "ONNX Runtime": Side(onnx_runtime)},
    options={"depth": 50, "bits": 32, "threads": 1},
    repetitions=9,
    needs={"ONNX Runtime": 1},
)

if __name__ == "__main__":
    main(BENCHMARK)
