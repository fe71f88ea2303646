"""Videos of many kinds, made for tests, and ways to spoil them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image

MATRIX_PLACE = (
    4 + 4 + 20 + 8 + 8
)  # bytes between the start of an mp4's "tkhd" and its display matrix


def gradient(count: int = 8, height: int = 32, width: int = 48) -> np.ndarray:
    """Smooth colours that move, (T, H, W, 3): codecs keep them well, and no two frames, rows or
    columns are equal."""
    t, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij")
    return np.stack([x * 255 / width, y * 255 / height, (x + y + 8 * t) * 2 % 256], axis=-1).astype(
        np.uint8
    )


def encode(
    path: Path,
    frames_THWC: np.ndarray,
    codec: str,
    pixels: str,
    rate: Fraction | int = 8,
    times: list[int] | None = None,
    **options: str,
) -> Path:
    """A video file; ``times`` (in ticks of 1 / rate seconds) let its rate vary."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames_THWC.shape[1:3], pixels
        for place, frame in enumerate(frames_THWC):
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame), format="rgba" if frame.shape[2] == 4 else "rgb24"
            )
            picture = picture.reformat(format=pixels)
            picture.pts, picture.time_base = (
                (times or range(len(frames_THWC)))[place],
                1 / Fraction(rate),
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def h264(
    path: Path, count: int = 8, rate: Fraction | int = 8, height: int = 32, width: int = 48
) -> Path:
    return encode(
        path,
        gradient(count, height, width),
        "libx264",
        "yuv420p",
        rate,
        **{"x264-params": "log-level=none"},
    )


def turn(path: Path, *matrix: int) -> None:
    """Write a display matrix (a, b, c, d as whole numbers) into an mp4."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + MATRIX_PLACE
    a, b, c, d = (number << 16 for number in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def gif(
    path: Path, frames: np.ndarray, milliseconds: list[int] | int = 100, **options: object
) -> Path:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, **options
    )
    return path


def pictures(folder: Path, frames: np.ndarray, pattern: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / pattern.format(number))
    return folder


def sound(path: Path) -> Path:
    """A file of a second of silence, without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for place in range(8):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.rate, frame.pts = 8000, 1024 * place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def spoil_file(path: Path, kind: str) -> Path:
    """A file that is no good video; its suffix may change."""
    if kind.startswith("cut "):
        return _cut_short(path.with_suffix(f".{kind.split()[1]}"))
    if kind not in SPOILED:
        return path
    return SPOILED[kind](path) or path


def _cut_short(path: Path) -> Path:
    """The first part of a video of the kind that the suffix says."""
    if path.suffix == ".gif":
        return cut(gif(path, gradient()), 0.6)
    codec, pixels = {
        ".mkv": ("ffv1", "bgr0"),
        ".webm": ("libvpx-vp9", "yuv420p"),
        ".avi": ("huffyuv", "rgb24"),
    }[path.suffix]
    return cut(encode(path, gradient(16), codec, pixels), 0.6)


def _damaged(path: Path) -> Path:
    return cut(encode(path.with_suffix(".avi"), gradient(24), "mpeg4", "yuv420p"), 0.8)


def _vast(path: Path) -> None:
    content = bytearray(gif(path.with_suffix(".gif"), gradient(3)).read_bytes())
    content[6:10] = struct.pack("<HH", 60000, 60000)
    path.write_bytes(content)


def _text(path: Path) -> None:
    path.write_text("no video at all\n" * 100)


SPOILED: dict[str, Callable[[Path], Path | None]] = {
    "missing": lambda path: path.with_name("none.mp4"),
    "empty": Path.touch,
    "text": _text,
    "sound": sound,
    "pipe": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to("nowhere.mp4"),
    "index lost": lambda path: cut(h264(path), 0.5),
    "damaged": _damaged,
    "changing size": lambda path: _join(path, 32, 32, 48),
    "vast": _vast,
}
"""Kind -> makes the file, and returns its path if that is another than the one given."""


def _join(path: Path, *sizes: int) -> None:
    """JPEG pictures of different sizes as the frames of one video."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=8)
        stream.height, stream.width, stream.pix_fmt = sizes[0], sizes[0], "yuvj420p"
        for place, size in enumerate(sizes):
            buffer = BytesIO()
            Image.new("RGB", (size, size), (200, 100, 50)).save(buffer, "JPEG")
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = (
                stream,
                place,
                place,
                1,
                Fraction(1, 8),
            )
            container.mux(packet)


def spoil_folder(folder: Path, kind: str) -> None:
    """A folder that is no good video."""
    if kind == "empty":
        folder.mkdir()
        return
    pictures(folder, gradient(4))
    if kind == "text":
        (folder / "notes.txt").write_text("x")
    elif kind == "folder":
        (folder / "more.png").mkdir()
    elif kind == "gif":
        Image.fromarray(gradient(1)[0]).save(folder / "4.gif")
    elif kind == "sizes":
        Image.new("RGB", (16, 16)).save(folder / "4.png")
    elif kind == "cut":
        (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    elif kind == "no picture":
        (folder / "2.png").write_text("x")
    elif kind == "link":
        (folder / "4.png").symlink_to("nowhere.png")
