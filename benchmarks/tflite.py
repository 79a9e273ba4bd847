"""One 224x224 image through the exported TFLite file of ResNet-50, beside ONNX Runtime on the same net."""

import pathlib
import tempfile

from compare import OURS, Benchmark, Side, main
from work import images, milliseconds_an_image

RUNS = 20


def ours(options):
    from ai_edge_litert.interpreter import Interpreter

    import keras_resnet
    from keras_resnet.export.tflite import export_tflite

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.tflite")
        export_tflite(keras_resnet.ResNet50(variant="v1.5"), file)
        interpreter = Interpreter(str(file), num_threads=options.threads)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    image = images(1, 224)

    def run():
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return milliseconds_an_image(run, 1, RUNS)


def onnx_runtime(options):
    import onnxruntime
    import torch
    import torchvision

    net = torchvision.models.resnet50(weights=None).eval()
    image = images(1, 224).transpose(0, 3, 1, 2).copy()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder, "model.onnx"))
        torch.onnx.export(net, (torch.from_numpy(image),), file, input_names=["image"], dynamo=False)
        session = onnxruntime.InferenceSession(file, settings)
    return milliseconds_an_image(lambda: session.run(None, {"image": image}), 1, RUNS)


BENCHMARK = Benchmark(
    name="tflite-resnet50",
    work="one image, ResNet-50 v1.5 in float32, {threads} thread(s)",
    unit="ms",
    sides={OURS: Side(ours), "ONNX Runtime": Side(onnx_runtime)},
    options={"threads": 1},
    repetitions=9,
    needs={"ONNX Runtime": 1},
)

if __name__ == "__main__":
    main(BENCHMARK)
