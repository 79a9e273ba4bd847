"""Contact sheets: images in rows, each with a caption."""

import os
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw

from keras_resnet._utils.atomic import atomic_write

COLUMNS = 8
_LINE_HEIGHT = 12


def contact_sheet(
    images: Sequence[np.ndarray] | np.ndarray,
    captions: Sequence[str],
    path: str | os.PathLike,
    *,
    side: int = 64,
    columns: int = COLUMNS,
) -> None:
    """Draws square images, (H, W, C) uint8, in rows, each with its caption, and writes them as a PNG file.

    Args:
        captions: one for each image, of as many lines as the first; lines too wide for their image are cut.
        side: side of each image on the sheet, in pixels; larger where the images are.
        columns: images in a row.
    """
    side = max(side, images[0].shape[1])
    height = side + 2 + _LINE_HEIGHT * (captions[0].count("\n") + 1)
    sheet = PIL.Image.new("RGB", (columns * side, -(-len(images) // columns) * height), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    for i, (pixels, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = i % columns * side, i // columns * height
        image = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
        sheet.paste(image.resize((side, side), PIL.Image.Resampling.NEAREST), (left, top))
        for number, line in enumerate(caption.split("\n")):
            while line and draw.textlength(line) > side - 4:
                line = line[:-1]
            draw.text((left + 2, top + side + _LINE_HEIGHT * number), line, fill="black")
    with atomic_write(path) as written:
        sheet.save(written)
