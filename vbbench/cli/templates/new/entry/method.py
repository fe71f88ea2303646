import numpy as np
from PIL import Image, ImageDraw

from vbbench.media.video import load_image_prompt
from vbbench.types import Video

GROUNDS = {
    "snow": (214, 226, 238),
    "night": (28, 32, 60),
    "grass": (96, 168, 80),
    "forest": (52, 112, 66),
    "room": (196, 164, 150),
}
STEPS = {
    "right": (0.35, 0, 0),
    "left": (-0.35, 0, 0),
    "closer": (0, 0, 0.5),
    "away": (0, 0, -0.5),
    "jumping": (0, 0.2, 0),
}


class MyMethod:
    def __init__(self, settings, *, device, folder):
        self.share = settings["share"]

    def generate(self, items, params):
        return [
            Video(np.stack(list(self.frames(item, params.num_frames, params.size))), params.fps)
            for item in items
        ]

    def frames(self, item, num_frames, size):
        picture = Image.fromarray(load_image_prompt(item.image, size)[0])
        ImageDraw.floodfill(
            flooded := picture.copy(), (0, 0), (255, 0, 255), thresh=30
        )  # the white around the subject
        mask = Image.fromarray((np.asarray(flooded) != (255, 0, 255)).any(axis=2))
        ground = next((GROUNDS[word] for word in GROUNDS if word in item.text), (222, 196, 140))
        x, y, growth = next((STEPS[word] for word in STEPS if word in item.text), (0, 0, 0))
        start = 0.5 + np.random.default_rng(item.seed).uniform(
            -0.05, 0.05
        )  # chance comes from the item's seed alone
        for t in np.linspace(-0.5, 0.5, num_frames):
            side = round(size * self.share * (1 + growth * t))
            frame = Image.new("RGB", (size, size), ground)
            corner = (
                round(size * (start + x * t) - side / 2),
                round(size * (0.9 - y * abs(np.sin(4 * np.pi * t)))) - side,
            )
            frame.paste(picture.resize((side, side)), corner, mask.resize((side, side)))
            yield np.asarray(frame)
