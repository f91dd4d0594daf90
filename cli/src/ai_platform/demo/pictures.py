"""Flat illustrations of products, drawn and not shipped: the same product, the same bytes.

A picture is drawn at three times its size and scaled down, which is how pillow smooths edges.
"""

import io
from pathlib import Path

from PIL import Image

from ai_platform.demo.canvas import Canvas
from ai_platform.demo.colours import darker, lighter, mix
from ai_platform.demo.motifs import MOTIFS
from ai_platform.demo.shop import DemoProduct, Picture

SIDE = 512
"""Pixels."""

_SCALE = 3
_CREAM = "#f6ead8"


def draw(picture: Picture) -> bytes:
    """The illustration as JPEG.

    Raises:
        KeyError: nobody knows how to draw this motif.
    """
    motif = MOTIFS[picture.motif]
    image = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE), mix(picture.colour, _CREAM, 0.8))
    canvas = Canvas(image)
    canvas.oval(6, 6, 88, 88, lighter(picture.colour, 0.62))
    canvas.oval(20, 80, 60, 7, darker(picture.colour, 0.1))
    motif(canvas, picture)
    out = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out, "JPEG", quality=88)
    return out.getvalue()


def draw_missing(products: tuple[DemoProduct, ...], folder: Path) -> None:
    """Draw the pictures that ``folder`` does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for product in products:
        path = folder / file_name(product)
        if not path.exists():
            draft = path.with_suffix(".tmp")
            draft.write_bytes(draw(product.picture))
            draft.replace(path)


def file_name(product: DemoProduct) -> str:
    return f"{product.code}.jpg"
