"""What an experiment leaves: its numbers, and a page with table, figure and verdict."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_resnet.experiments.trainings import Outcome, Setup
from keras_resnet.files import atomic


def write_report(
    setup: Setup,
    outcomes: Sequence[Outcome],
    *,
    title: str,
    claim: str,
    table: str,
    verdict: str,
    figure: str,
    about: Mapping[str, Any],
) -> None:
    """Write `results.json` and `README.md` into the experiment's folder.

    Args:
        claim: what the paper says, in a sentence.
        figure: name of its file in the folder.
        about: `command` and `versions`, and further plain values for `results.json`.
    """
    numbers = {
        **about,
        "dataset": setup.source.name,
        "recipe": dataclasses.asdict(setup.recipe),
        "verdict": verdict,
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    with atomic(setup.folder / "results.json") as written:
        written.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    recipe, source = setup.recipe, setup.source
    drops = " and ".join(f"{drop:,}" for drop in recipe.drops)
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    page = f"""# {title}

{claim}

```sh
{about["command"]}
```

{source.name}: {source.train.size:,} training and {source.test.size:,} test images. Every net is trained \
alike: {recipe.iterations:,} iterations of {recipe.batch_size} images, SGD with momentum \
{recipe.momentum:g}, weight decay {recipe.weight_decay:g}, learning rate {recipe.learning_rate:g}, divided \
by 10 at {drops}. Mean ± standard deviation over the seeds; the training error is that of the last \
{setup.steps_between_tests:,} iterations.

{table}

{verdict}

![{title}]({figure})

{versions}.
"""
    with atomic(setup.folder / "README.md") as written:
        written.write_text(page, encoding="utf-8")
