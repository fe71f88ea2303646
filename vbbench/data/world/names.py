"""The words of the miniature world: classes, scenes, motions, markings and colours, in their fixed
order.

The classes are VideoBooth's nine (paper section 4.1). Colours are a palette whose members are well
apart in CIELAB, so that an individual can be told by its colours at 64 x 64 pixels.
"""

from __future__ import annotations

WORLD_VERSION = "1"

SIZE = 64
NUM_FRAMES = 8

CLASSES = ("bear", "car", "cat", "dog", "elephant", "horse", "lion", "panda", "tiger")
SCENES = ("grass", "beach", "snow", "road", "night", "desert", "forest", "room")
MOTIONS = ("right", "left", "jumping", "standing", "closer", "away")
MARKINGS = ("stripes", "spots", "patch", "half", "saddle")

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (213, 58, 56),
    "orange": (242, 142, 48),
    "yellow": (248, 212, 72),
    "green": (84, 168, 76),
    "teal": (38, 166, 164),
    "blue": (58, 104, 214),
    "purple": (134, 76, 190),
    "pink": (244, 134, 178),
    "brown": (134, 84, 52),
    "cream": (246, 232, 202),
    "grey": (150, 156, 168),
    "black": (48, 48, 66),
}
COLOURS = tuple(PALETTE)

# Which markings an individual of the class may wear. Stripes on a dog or a horse would make it a
# tiger or a zebra.
CLASS_MARKINGS: dict[str, tuple[str, ...]] = {
    "bear": ("stripes", "spots", "patch", "half", "saddle"),
    "car": ("stripes", "spots", "patch", "half", "saddle"),
    "cat": ("spots", "patch", "half", "saddle"),
    "dog": ("spots", "patch", "half", "saddle"),
    "elephant": ("stripes", "spots", "patch", "half", "saddle"),
    "horse": ("spots", "patch", "half", "saddle"),
    "lion": ("spots", "patch", "half", "saddle"),
    "panda": ("stripes", "spots", "patch", "half", "saddle"),
    "tiger": ("stripes",),
}

# What wears the secondary colour, in words.
SECONDARY_PART: dict[str, str] = {
    "bear": "legs",
    "car": "roof",
    "cat": "ears",
    "dog": "legs",
    "elephant": "ears",
    "horse": "mane",
    "lion": "mane",
    "panda": "arms",
    "tiger": "legs",
}

# Values of the masks.
MASK_BACKGROUND, MASK_BASE, MASK_SECONDARY, MASK_MARKING, MASK_DETAIL = range(5)
