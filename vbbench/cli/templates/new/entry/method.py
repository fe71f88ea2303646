import numpy as np
from PIL import Image, ImageDraw

from vbbench.media.video import load_image_prompt
from vbbench.types import Video

STEPS, GROWTHS = {"right": 0.35, "left": -0.35}, {"closer": 0.5, "away": -0.5}


class MyMethod:
    def __init__(self, settings, *, device, folder):
        self.share = settings["share"]

    def generate(self, items, params):
        return [Video(np.stack([*self.frames(item, params)]), params.fps) for item in items]

    def frames(self, item, params):
        picture = Image.fromarray(load_image_prompt(item.image, size := params.size)[0])
        ImageDraw.floodfill(marked := picture.copy(), (0, 0), (255, 0, 255), thresh=30)  # the white
        mask = Image.fromarray((np.asarray(marked) != (255, 0, 255)).any(axis=2))
        ground = "midnightblue" if "night" in item.text else "darkseagreen"
        step, growth = (sum(t[w] for w in t if w in item.text) for t in (STEPS, GROWTHS))
        start = 0.5 + np.random.default_rng(item.seed).uniform(-0.05, 0.05)  # chance: from the seed
        for t in np.linspace(-0.5, 0.5, params.num_frames):
            side = round(size * self.share * (1 + growth * t))
            up = 0.2 * abs(np.sin(4 * np.pi * t)) if "jumping" in item.text else 0
            corner = round(size * (start + step * t) - side / 2), round(size * (0.9 - up)) - side
            frame = Image.new("RGB", (size, size), ground)
            frame.paste(picture.resize((side, side)), corner, mask.resize((side, side)))
            yield np.asarray(frame)
