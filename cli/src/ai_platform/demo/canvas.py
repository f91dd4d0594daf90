"""A square of 100 by 100 units to draw on, whatever its size in pixels."""

from PIL import Image, ImageDraw

_UNITS = 100


class Canvas:
    """Positions and sizes are units from the upper left corner."""

    def __init__(self, image: Image.Image) -> None:
        self._draw = ImageDraw.Draw(image)
        self._unit = image.width / _UNITS

    def box(
        self, x: float, y: float, w: float, h: float, colour: str, *, corner: float = 0
    ) -> None:
        area, radius = self._area(x, y, w, h), corner * self._unit
        self._draw.rounded_rectangle(area, radius, fill=colour)

    def oval(self, x: float, y: float, w: float, h: float, colour: str) -> None:
        self._draw.ellipse(self._area(x, y, w, h), fill=colour)

    def ring(self, x: float, y: float, w: float, h: float, colour: str, *, width: float) -> None:
        self._draw.ellipse(self._area(x, y, w, h), outline=colour, width=self._pixels(width))

    def shape(self, colour: str, *points: tuple[float, float]) -> None:
        self._draw.polygon(self._scaled(points), fill=colour)

    def line(self, colour: str, *points: tuple[float, float], width: float) -> None:
        self._draw.line(self._scaled(points), fill=colour, width=self._pixels(width), joint="curve")

    def _area(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        unit = self._unit
        return (x * unit, y * unit, (x + w) * unit, (y + h) * unit)

    def _scaled(self, points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
        return [(x * self._unit, y * self._unit) for x, y in points]

    def _pixels(self, width: float) -> int:
        return max(1, round(width * self._unit))
