"""The files of an experiment: its numbers, and a page with table, figure and verdict."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.experiments.config import ExperimentResult
from keras_resnet.experiments.trainings import Outcome, Setup


def write_report(
    setup: Setup,
    outcomes: Sequence[Outcome],
    *,
    title: str,
    claim: str,
    result: ExperimentResult,
    figure: str,
    about: Mapping[str, Any],
) -> None:
    """Writes `results.json` and `README.md` into the experiment's folder.

    Args:
        claim: the paper's claim, in a sentence.
        figure: name of its file in the folder.
        about: `command` and `versions`, and further plain values for `results.json`.
    """
    numbers = {
        **about,
        "dataset": setup.dataset.name,
        "recipe": dataclasses.asdict(setup.recipe),
        "verdict": result.verdict,
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    with atomic_write(setup.folder / "results.json") as written:
        written.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    recipe, dataset = setup.recipe, setup.dataset
    milestones = " and ".join(f"{step:,}" for step in recipe.milestones)
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    page = f"""# {title}

{claim}

```sh
{about["command"]}
```

{dataset.name}: {dataset.train.size:,} training and {dataset.validation.size:,} validation images. Every
model is \
trained alike: {recipe.iterations:,} iterations of {recipe.batch_size} images, SGD with momentum \
{recipe.momentum:g}, weight decay {recipe.weight_decay:g}, learning rate {recipe.learning_rate:g}, divided \
by 10 at {milestones}. Mean ± standard deviation over the seeds; the training error is that of the last \
{setup.steps_between_validations:,} iterations.

{result.table}

{result.verdict}

![{title}]({figure})

{versions}.
"""
    with atomic_write(setup.folder / "README.md") as written:
        written.write_text(page, encoding="utf-8")
