"""How each motif is drawn: ``colour`` is the thing's own, ``accent`` its detail."""

from collections.abc import Callable, Mapping

from ai_platform.demo.canvas import Canvas
from ai_platform.demo.colours import darker, lighter
from ai_platform.demo.shop import Picture

Motif = Callable[[Canvas, Picture], None]

_CHINA = "#fbf7f0"
_CHINA_SHADE = "#e6dccd"
_STEEL = "#c3cbcf"
_STEEL_SHADE = "#98a3a9"
_PAPER = "#f4ead9"


def _cup(canvas: Canvas, picture: Picture) -> None:
    for x in (40, 50, 60):
        canvas.line("#ffffff", (x, 30), (x - 2, 25), (x + 2, 20), (x, 15), width=1.6)
    canvas.ring(62, 44, 22, 22, _CHINA_SHADE, width=4.5)
    canvas.box(26, 40, 46, 38, _CHINA, corner=15)
    canvas.box(26, 40, 46, 16, _CHINA, corner=2)
    canvas.oval(26, 33, 46, 14, _CHINA_SHADE)
    canvas.oval(29, 35, 40, 10.5, picture.colour)
    canvas.oval(39, 37, 20, 6, picture.accent)
    canvas.oval(43, 38.4, 12, 3, lighter(picture.colour))
    canvas.oval(20, 76, 60, 8, _CHINA)
    canvas.oval(28, 77, 44, 4, _CHINA_SHADE)


def _glass(canvas: Canvas, picture: Picture) -> None:
    canvas.line("#e4572e", (56, 12), (50, 74), width=2.6)
    canvas.shape("#ffffff", (28, 24), (72, 24), (66, 86), (34, 86))
    canvas.shape(picture.colour, (30.5, 40), (69.5, 40), (65, 83), (35, 83))
    canvas.shape(picture.accent, (30, 33), (70, 33), (69.2, 44), (30.8, 44))
    for x, y in ((36, 36), (50, 34), (59, 42), (42, 48)):
        canvas.box(x, y, 8, 8, lighter(picture.accent, 0.55), corner=1.6)
    canvas.shape(lighter(picture.colour, 0.2), (35, 48), (39, 48), (40.5, 80), (37, 80))
    canvas.oval(28, 21, 44, 6, "#f3f6f7")


def _croissant(canvas: Canvas, picture: Picture) -> None:
    dark = darker(picture.colour, 0.18)
    canvas.oval(10, 52, 26, 22, dark)
    canvas.oval(64, 52, 26, 22, dark)
    canvas.oval(18, 42, 30, 32, picture.colour)
    canvas.oval(52, 42, 30, 32, picture.colour)
    canvas.oval(31, 34, 38, 40, lighter(picture.colour, 0.18))
    for x in (27, 39, 61, 73):
        lean = 3 if x < 50 else -3
        canvas.line(dark, (x, 45), (x + lean, 57), (x, 69), width=2)
    canvas.oval(36, 68, 28, 14, lighter(picture.colour, 0.62))
    for x, y in ((44, 44), (55, 41), (49, 53), (60, 55), (39, 57)):
        canvas.oval(x, y, 5, 2.6, picture.accent)


def _bun(canvas: Canvas, picture: Picture) -> None:
    canvas.oval(18, 34, 64, 50, darker(picture.colour, 0.15))
    canvas.oval(20, 32, 60, 47, picture.colour)
    for inset, width in ((8, 3), (15, 3), (22, 3)):
        canvas.ring(
            20 + inset, 32 + inset * 0.78, 60 - 2 * inset, 47 - 1.56 * inset,
            darker(picture.colour, 0.3), width=width,
        )  # fmt: skip
    for y in (40, 50, 60):
        canvas.line(picture.accent, (30, y + 4), (42, y), (56, y + 5), (70, y), width=3)


def _loaf(canvas: Canvas, picture: Picture) -> None:
    canvas.box(16, 44, 68, 38, darker(picture.colour, 0.12), corner=7)
    for x in (16, 33, 50, 67):
        canvas.oval(x - 1, 32, 21, 26, picture.colour)
        canvas.line(picture.accent, (x + 5, 39), (x + 13, 44), width=2.4)
    canvas.box(18, 56, 64, 24, lighter(picture.colour, 0.15), corner=6)


def _toast(canvas: Canvas, picture: Picture) -> None:
    canvas.box(22, 30, 56, 52, darker(picture.colour, 0.2), corner=11)
    canvas.box(26, 34, 48, 44, lighter(picture.colour, 0.55), corner=8)
    canvas.box(32, 41, 36, 30, picture.accent, corner=9)
    canvas.box(44, 49, 12, 10, "#fbe28a", corner=2)


def _donut(canvas: Canvas, picture: Picture) -> None:
    canvas.oval(17, 28, 66, 56, darker(picture.colour, 0.15))
    canvas.oval(17, 24, 66, 54, picture.colour)
    canvas.oval(22, 26, 56, 42, picture.accent)
    canvas.oval(40, 40, 20, 15, lighter(picture.colour, 0.62))
    for x, y, colour in (
        (33, 34, "#e4572e"), (46, 30, "#2f8f83"), (60, 34, "#f0a830"),
        (31, 48, "#f0a830"), (66, 47, "#e4572e"), (50, 60, "#2f8f83"), (38, 58, "#e4572e"),
    ):  # fmt: skip
        canvas.box(x, y, 4.5, 2, colour, corner=1)


def _cake(canvas: Canvas, picture: Picture) -> None:
    canvas.oval(12, 72, 76, 14, _CHINA)
    canvas.shape(darker(picture.colour, 0.12), (18, 48), (82, 40), (82, 72), (18, 78))
    canvas.shape(picture.colour, (18, 48), (82, 40), (58, 28))
    for y in (55, 64):
        canvas.shape(picture.accent, (18, y), (82, y - 7.4), (82, y - 3.6), (18, y + 3.8))
    canvas.shape(picture.accent, (18, 46), (82, 38), (82, 43), (18, 51))
    canvas.oval(54, 22, 12, 11, "#c8323c")
    canvas.line("#4f7a3a", (60, 23), (64, 17), width=1.6)


def _cookie(canvas: Canvas, picture: Picture) -> None:
    for x, y in ((36, 30), (18, 42), (42, 46)):
        canvas.oval(x, y + 3, 40, 36, darker(picture.colour, 0.2))
        canvas.oval(x, y, 40, 36, picture.colour)
        for dx, dy in ((9, 9), (22, 7), (28, 18), (12, 22), (21, 25)):
            canvas.oval(x + dx, y + dy, 5, 4.4, picture.accent)


def _bag(canvas: Canvas, picture: Picture) -> None:
    canvas.box(27, 20, 46, 65, picture.colour, corner=3)
    canvas.box(27, 20, 46, 10, darker(picture.colour, 0.25), corner=2)
    canvas.box(25, 27, 50, 4, darker(picture.colour, 0.4), corner=1.5)
    canvas.box(33, 42, 34, 30, picture.accent, corner=3)
    canvas.oval(41, 47, 18, 20, darker(picture.colour, 0.1))
    canvas.line(picture.accent, (51, 47), (47, 53), (53, 60), (49, 67), width=2)
    canvas.oval(45, 33, 10, 5, darker(picture.colour, 0.45))


def _dripper(canvas: Canvas, picture: Picture) -> None:
    shade = darker(picture.colour, 0.15)
    canvas.ring(68, 30, 16, 18, shade, width=4)
    canvas.shape(picture.colour, (22, 26), (78, 26), (58, 56), (42, 56))
    canvas.oval(22, 21, 56, 10, shade)
    canvas.oval(27, 23, 46, 6.5, picture.accent)
    canvas.box(30, 56, 40, 5, shade, corner=2)
    canvas.box(34, 63, 32, 21, "#ffffff", corner=5)
    canvas.box(36, 73, 28, 9, picture.accent, corner=3)
    canvas.line(picture.accent, (50, 61), (50, 73), width=1.8)


def _press(canvas: Canvas, picture: Picture) -> None:
    canvas.ring(64, 38, 20, 34, "#3a3f45", width=4)
    canvas.line(_STEEL_SHADE, (50, 12), (50, 36), width=2)
    canvas.oval(45, 9, 10, 7, "#3a3f45")
    canvas.box(28, 28, 44, 56, lighter(picture.colour, 0.5), corner=4)
    canvas.box(30, 48, 40, 34, picture.accent, corner=3)
    canvas.box(26, 24, 48, 7, _STEEL, corner=3)
    canvas.box(31, 44, 38, 4, _STEEL_SHADE, corner=1)
    for y in (34, 82):
        canvas.box(26, y, 48, 3, _STEEL, corner=1.5)


def _grinder(canvas: Canvas, picture: Picture) -> None:
    canvas.line(_STEEL_SHADE, (50, 26), (50, 18), (78, 18), width=3)
    canvas.oval(73, 11, 11, 13, picture.accent)
    canvas.shape(picture.colour, (34, 28), (66, 28), (62, 52), (38, 52))
    canvas.oval(34, 24, 32, 8, lighter(picture.colour))
    canvas.box(38, 52, 24, 6, picture.accent, corner=1)
    canvas.box(34, 58, 32, 26, picture.colour, corner=4)
    canvas.box(38, 62, 5, 18, lighter(picture.colour), corner=2)


def _kettle(canvas: Canvas, picture: Picture) -> None:
    canvas.line(darker(picture.colour, 0.1), (34, 72), (20, 62), (24, 38), (12, 30), width=4)
    canvas.line(picture.accent, (66, 40), (84, 40), (84, 66), (70, 72), width=4)
    canvas.shape(picture.colour, (36, 42), (66, 42), (74, 82), (28, 82))
    canvas.box(28, 79, 46, 5, darker(picture.colour, 0.2), corner=2)
    canvas.oval(36, 37, 30, 9, lighter(picture.colour))
    canvas.oval(47, 30, 8, 9, picture.accent)


def _tumbler(canvas: Canvas, picture: Picture) -> None:
    canvas.shape(picture.colour, (32, 28), (68, 28), (63, 86), (37, 86))
    canvas.box(29, 20, 42, 10, darker(picture.colour, 0.35), corner=3)
    canvas.box(46, 14, 12, 7, darker(picture.colour, 0.5), corner=2)
    canvas.shape(picture.accent, (34, 46), (66, 46), (64.5, 62), (35.5, 62))
    canvas.shape(lighter(picture.colour, 0.25), (36, 32), (40, 32), (42, 82), (39.5, 82))


def _box(canvas: Canvas, picture: Picture) -> None:
    canvas.shape(darker(picture.colour, 0.12), (50, 44), (84, 34), (84, 68), (50, 84))
    canvas.shape(picture.colour, (16, 34), (50, 44), (50, 84), (16, 68))
    canvas.shape(lighter(picture.colour), (16, 34), (50, 24), (84, 34), (50, 44))
    canvas.shape(picture.accent, (24, 46), (42, 51.5), (42, 66), (24, 60))


def _hamper(canvas: Canvas, picture: Picture) -> None:
    canvas.box(34, 26, 12, 32, "#a9713c", corner=5)
    canvas.box(50, 30, 18, 30, darker(picture.accent, 0.1), corner=3)
    canvas.oval(24, 36, 18, 18, "#d99a4e")
    canvas.shape(picture.colour, (16, 50), (84, 50), (76, 85), (24, 85))
    for y in (58, 66, 74):
        canvas.line(darker(picture.colour, 0.25), (19, y), (81, y), width=1.6)
    canvas.box(46, 50, 8, 35, picture.accent)
    canvas.oval(34, 42, 16, 12, picture.accent)
    canvas.oval(50, 42, 16, 12, picture.accent)
    canvas.oval(46, 45, 8, 8, darker(picture.accent, 0.2))


def _card(canvas: Canvas, picture: Picture) -> None:
    canvas.box(18, 38, 66, 42, darker(picture.colour, 0.3), corner=5)
    canvas.box(15, 33, 66, 42, picture.colour, corner=5)
    canvas.box(15, 42, 66, 7, picture.accent)
    canvas.oval(60, 55, 14, 14, picture.accent)
    canvas.box(22, 57, 26, 4, _PAPER, corner=1.5)
    canvas.box(22, 64, 18, 4, _PAPER, corner=1.5)


MOTIFS: Mapping[str, Motif] = {
    "bag": _bag,
    "box": _box,
    "bun": _bun,
    "cake": _cake,
    "card": _card,
    "cookie": _cookie,
    "croissant": _croissant,
    "cup": _cup,
    "donut": _donut,
    "dripper": _dripper,
    "glass": _glass,
    "grinder": _grinder,
    "hamper": _hamper,
    "kettle": _kettle,
    "loaf": _loaf,
    "press": _press,
    "toast": _toast,
    "tumbler": _tumbler,
}
