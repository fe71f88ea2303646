import json
import random
import sys
from pathlib import Path

from PIL import Image

jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
size, num_frames = jobs["params"]["size"], jobs["params"]["num_frames"]
side = round(size * jobs["settings"]["share"])

for item in jobs["items"]:
    subject = Image.open(item["image"]).convert("RGB").resize((side, side))
    top = (size - side) / 2 + random.Random(item["seed"]).uniform(
        -0.05, 0.05
    ) * size  # chance comes from the item's seed alone
    folder = Path(
        item["output"]
    )  # pictures in a folder of this name, or one file: item["output"] + ".mkv"
    folder.mkdir()
    for number in range(num_frames):
        frame = Image.new("RGB", (size, size), "white")
        frame.paste(subject, (round((size - side) * number / max(num_frames - 1, 1)), round(top)))
        frame.save(folder / f"{number}.png")
