"""The flags of `keras-resnet train`."""

from typing import Any

from absl import flags

from keras_resnet.commands import (
    data_flags,
    export_flags,
    net_flags,
    precision_flags,
    recipe_flags,
    view_flags,
)

FLAGS = flags.FlagValues()

net_flags.define(FLAGS)
flags.DEFINE_string(
    "grow_from",
    None,
    "A finished run on the same images, whose shallower net is made deeper without changing its answers, and "
    "trained on.",
    flag_values=FLAGS,
    module_name=net_flags.GROUP,
)
flags.DEFINE_string(
    "weights",
    None,
    "What to begin with: a finished run, a file of weights, or a name of public weights (keras-resnet "
    "weights) with --depth. The net and its preprocessing come with them; other classes get a new head.",
    flag_values=FLAGS,
    module_name=net_flags.GROUP,
)
flags.DEFINE_string(
    "dataset",
    "digits",
    "digits (embedded), a folder of pictures (train/CLASS/* and val/CLASS/*, or CLASS/*), or any TFDS image "
    "classification dataset.",
    flag_values=FLAGS,
    module_name=data_flags.GROUP,
)
data_flags.define(FLAGS)
view_flags.define(FLAGS)
flags.DEFINE_enum(
    "mean",
    "auto",
    ["auto", "channel", "pixel"],
    "What the net subtracts: the mean of each channel or of each pixel; auto: of each pixel where images are "
    "seen whole, else of each channel.",
    flag_values=FLAGS,
    module_name=data_flags.GROUP,
)
recipe_flags.define(FLAGS)
flags.DEFINE_integer(
    "precise_bn",
    None,
    "After the training, take BN's statistics anew over so many training images, instead of moving averages.",
    lower_bound=1,
    flag_values=FLAGS,
    module_name=recipe_flags.GROUP,
)
_COMPUTING: dict[str, Any] = {"flag_values": FLAGS, "module_name": "How to compute it"}
flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "none", "mirrored", "multi_worker"],
    "none: one device; mirrored: every GPU; multi_worker: the machines that TF_CONFIG or SLURM names; "
    "auto: what there is.",
    **_COMPUTING,
)
flags.DEFINE_integer(
    "accumulate",
    1,
    "Parts in which a batch is computed, one after another: less memory, BN over a part.",
    lower_bound=1,
    **_COMPUTING,
)
flags.DEFINE_boolean(
    "sync_batch_norm", False, "Batch statistics over all devices, not each one's own.", **_COMPUTING
)
precision_flags.define(FLAGS, _COMPUTING["module_name"])
flags.DEFINE_boolean("jit_compile", False, "Compile the step by XLA; not with several devices.", **_COMPUTING)
flags.DEFINE_list(
    "rematerialize",
    [],
    "Stages, as conv2,conv3, that compute their inner activations again instead of keeping them: less "
    "memory, about 1.3 times the work.",
    **_COMPUTING,
)
flags.DEFINE_integer("seed", 0, "Of every random number.", lower_bound=0, upper_bound=2**31 - 1, **_COMPUTING)
flags.DEFINE_boolean(
    "deterministic", False, "The same weights to the last bit each time, for some speed.", **_COMPUTING
)
flags.DEFINE_enum(
    "on_nan",
    "stop",
    ["stop", "rollback"],
    "When the loss is no number: stop, or go back to the last checkpoint, with a tenth of the rate.",
    **_COMPUTING,
)
flags.DEFINE_integer("max_rollbacks", 3, "How often to go back.", lower_bound=1, **_COMPUTING)
flags.DEFINE_list(
    "export",
    ["saved_model", "float32"],
    "Files to export after the training: saved_model; float32, float16, dynamic, int8 for TFLite; web.",
    flag_values=FLAGS,
    module_name=export_flags.GROUP,
)
export_flags.define(FLAGS)
_RUN: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The run"}
flags.DEFINE_string("output_dir", "saved_models", "Folder of all runs.", **_RUN)
flags.DEFINE_string("run_name", None, "Folder of this run; by default NET-SHORTCUT-DATASET.", **_RUN)
flags.DEFINE_boolean("dry_run", False, "Say what the run would do and take, and do nothing.", **_RUN)
flags.DEFINE_enum(
    "resume",
    "auto",
    ["auto", "never", "must"],
    "Go on from the run's last checkpoint: if there is one, or start anew, or refuse to.",
    **_RUN,
)
flags.DEFINE_float(
    "checkpoint_minutes",
    10.0,
    "Between checkpoints within an epoch; there is one after each epoch, too.",
    lower_bound=0.0,
    **_RUN,
)
flags.DEFINE_enum(
    "log", "bar", ["bar", "plain"], "A progress bar, or a line a minute for batch systems.", **_RUN
)
flags.DEFINE_boolean("tensorboard", False, "Write TensorBoard's files as well.", **_RUN)
flags.DEFINE_boolean("profile", False, "Profile ten steps, for TensorBoard.", **_RUN)
