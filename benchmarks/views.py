"""All positions of a larger image, flipped too: the fully convolutional model, compared with single crops."""

import numpy as np
from compare import OURS, Benchmark, Side, main
from work import milliseconds_an_image, our_environment, pixels

HEIGHT, WIDTH, STRIDE = 384, 512, 32


def dense(options):
    import keras_resnet

    predict = keras_resnet.evaluation.dense_predict_fn(keras_resnet.ResNet50())
    image = pixels(1, WIDTH)[:, :HEIGHT]
    return milliseconds_an_image(lambda: predict(image), 1, 1)


def crop_by_crop(options):
    import keras

    model = keras.applications.ResNet50(weights=None)
    image = pixels(1, WIDTH)[0, :HEIGHT].astype("float32")

    def predict():
        crops = [
            view[y : y + 224, x : x + 224]
            for view in (image, image[:, ::-1])
            for y in range(0, HEIGHT - 223, STRIDE)
            for x in range(0, WIDTH - 223, STRIDE)
        ]
        return model.predict(np.stack(crops), verbose=0).mean(axis=0)

    return milliseconds_an_image(predict, 1, 1)


BENCHMARK = Benchmark(
    name="views-resnet50",
    work=f"one image of {HEIGHT}x{WIDTH} at all positions, mirrored too, ResNet-50",
    unit="ms",
    sides={
        OURS: Side(dense, our_environment()),
        "keras.applications on 120 crops": Side(crop_by_crop),
    },
)

if __name__ == "__main__":
    main(BENCHMARK)
