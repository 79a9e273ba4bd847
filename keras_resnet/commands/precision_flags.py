"""The flag that says in which type a training computes."""

from absl import flags


def define(values: flags.FlagValues, group: str) -> None:
    """Add the flag to a command's, in this group of them."""
    flags.DEFINE_enum(
        "mixed_precision",
        "none",
        ["none", "bfloat16", "float16"],
        "Type of activations and gradients; weights, batch statistics and the exported files stay float32.",
        flag_values=values,
        module_name=group,
    )


def policy(values: flags.FlagValues) -> str:
    """Keras' dtype policy of the nets that are trained."""
    return "float32" if values.mixed_precision == "none" else f"mixed_{values.mixed_precision}"
