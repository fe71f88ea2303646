import numpy as np
from PIL import Image, ImageDraw

from vbbench.media.video import load_image_prompt
from vbbench.types import Video

GROUNDS = {"snow": "lightsteelblue", "night": "midnightblue", "forest": "darkgreen", "room": "tan"}
STEPS = {"right": (0.35, 0), "left": (-0.35, 0), "jumping": (0, 0.2)}  # in widths of the frame


class MyMethod:
    def __init__(self, settings, *, device, folder):
        self.share = settings["share"]

    def generate(self, items, params):
        return [Video(np.stack([*self.frames(item, params)]), params.fps) for item in items]

    def frames(self, item, params):
        size, side = params.size, round(params.size * self.share)
        picture = Image.fromarray(load_image_prompt(item.image, size)[0]).resize((side, side))
        ImageDraw.floodfill(marked := picture.copy(), (0, 0), (255, 0, 255), thresh=30)  # the white
        mask = Image.fromarray((np.asarray(marked) != (255, 0, 255)).any(axis=2))
        ground = next((GROUNDS[word] for word in GROUNDS if word in item.text), "burlywood")
        x, y = next((STEPS[word] for word in STEPS if word in item.text), (0, 0))
        start = 0.5 + np.random.default_rng(item.seed).uniform(-0.05, 0.05)  # chance: from the seed
        for t in np.linspace(-0.5, 0.5, params.num_frames):
            frame = Image.new("RGB", (size, size), ground)
            left, bottom = size * (start + x * t), size * (0.9 - y * abs(np.sin(4 * np.pi * t)))
            frame.paste(picture, (round(left - side / 2), round(bottom) - side), mask)
            yield np.asarray(frame)
