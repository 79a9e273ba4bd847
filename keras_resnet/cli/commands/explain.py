"""`keras-resnet explain`: flags -> explain -> print."""

from absl import flags

from keras_resnet.cli.flags import define_flag
from keras_resnet.errors import format_value
from keras_resnet.runs.explain import explain
from keras_resnet.runs.options import Option

ARGUMENT = "MODEL IMAGE"
FLAGS = flags.FlagValues()
_GROUP = "Explanation"
define_flag(
    FLAGS,
    "output",
    Option("PNG file to write. Default: explained-IMAGE.png in the working folder.", group=_GROUP),
)
define_flag(FLAGS, "class_name", Option("Class to explain. Default: the most probable.", group=_GROUP))
define_flag(
    FLAGS,
    "layer",
    Option("Layer whose feature map is looked at. Default: the last before the global pool.", group=_GROUP),
)


def run(model: str, image: str) -> None:
    """Draws, and prints what is drawn."""
    found = explain(model, image, output=FLAGS.output, class_name=FLAGS.class_name, layer=FLAGS.layer)
    nothing = "" if found.heat_map.any() else ", where nothing speaks for it"
    print(
        f"{found.class_name}, {100 * found.probability:.2f}%, layer {found.layer}{nothing}: "
        f"{format_value(found.path)}"
    )
