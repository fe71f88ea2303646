"""The paper's segmenter: Grounding DINO finds boxes of a noun (Liu et al. 2023), SAM cuts them out
(Kirillov et al. 2023).

Both are transformers' own classes. Weights are safetensors from a folder, or from the hub at one
commit; nothing in them is run.

Shape suffixes: T frames, H/W pixels, N boxes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.core.digests import folder_digest
from vbbench.data.videos.segmenters import Found
from vbbench.errors import UsageError, WeightsError
from vbbench.networks.weights.pretrained import Source, fetch

BOX_THRESHOLD, TEXT_THRESHOLD = 0.3, 0.25  # those of the Grounded-SAM demonstration
MOST_OVERLAP = 0.7  # of two boxes, as intersection over union; the worse of them is left out
_HUB = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_USUAL = {"detector": "IDEA-Research/grounding-dino-base", "sam": "facebook/sam-vit-huge"}


class GroundedSam:
    """The segmenter ``grounded-sam``.

    Args:
        detector, sam: weights, a folder as transformers writes it or ``owner/name@commit``; the
            paper used IDEA-Research's Grounding DINO and facebook's sam-vit-huge.
        device: ``cpu`` or ``cuda``.
    Raises:
        UsageError: weights that were not named, or no such device.
        WeightsError: they are not there, or are none of that kind.
    """

    name = "grounded-sam"
    num_frames = 1

    def __init__(
        self, detector: str | None = None, sam: str | None = None, device: str = "cpu"
    ) -> None:
        import torch
        from transformers import (
            AutoModelForZeroShotObjectDetection,
            AutoProcessor,
            SamModel,
            SamProcessor,
        )

        if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
            raise UsageError(f"there is no device {device!r} here.")
        folders = {
            part: _folder(part, named) for part, named in (("detector", detector), ("sam", sam))
        }
        self._digests = {part: identity for part, (_, identity) in folders.items()}
        self._device = device
        self._detector, self._detector_input = _load(
            folders["detector"][0], AutoModelForZeroShotObjectDetection, AutoProcessor, device
        )
        self._sam, self._sam_input = _load(folders["sam"][0], SamModel, SamProcessor, device)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the masks."""
        thresholds = {
            "box_threshold": BOX_THRESHOLD,
            "text_threshold": TEXT_THRESHOLD,
            "most_overlap": MOST_OVERLAP,
        }
        return {"version": 1, **thresholds, **self._digests}

    def find(self, frames_THWC: np.ndarray, noun: str) -> Sequence[Found]:
        """Every subject of that name in the first frame, the surest first."""
        import torch

        frame_HW3 = frames_THWC[0]
        with torch.inference_mode():
            boxes_N4, scores_N = self._boxes(frame_HW3, noun)
            keep = apart(boxes_N4, scores_N)
            if not keep:
                return []
            masks_NHW = self._masks(frame_HW3, boxes_N4[keep])
        found = []
        for mask, box, score in zip(masks_NHW, boxes_N4[keep], scores_N[keep], strict=True):
            x1, y1, x2, y2 = map(float, box)
            found.append(Found(mask, (x1, y1, x2, y2), float(score), noun))
        return found

    def _boxes(self, frame_HW3: np.ndarray, noun: str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) in pixels, inside of the frame, and their scores (N,)."""
        size = frame_HW3.shape[:2]
        given = self._detector_input(images=frame_HW3, text=f"{noun}.", return_tensors="pt").to(
            self._device
        )
        answer = self._detector_input.post_process_grounded_object_detection(
            self._detector(**given),
            given["input_ids"],
            threshold=BOX_THRESHOLD,
            text_threshold=TEXT_THRESHOLD,
            target_sizes=[size],
        )[0]
        boxes_N4, scores_N = (
            answer["boxes"].float().cpu().numpy(),
            answer["scores"].float().cpu().numpy(),
        )
        boxes_N4 = np.clip(boxes_N4, 0, [size[1], size[0], size[1], size[0]])
        good = (boxes_N4[:, 2] - boxes_N4[:, 0] >= 1) & (boxes_N4[:, 3] - boxes_N4[:, 1] >= 1)
        return boxes_N4[good], scores_N[good]

    def _masks(self, frame_HW3: np.ndarray, boxes_N4: np.ndarray) -> np.ndarray:
        """A mask for each box, bool (N, H, W)."""
        given = self._sam_input(
            images=frame_HW3, input_boxes=[boxes_N4.tolist()], return_tensors="pt"
        )
        answer = self._sam(**given.to(self._device), multimask_output=False)
        masks = self._sam_input.image_processor.post_process_masks(
            answer.pred_masks.cpu(),
            given["original_sizes"].cpu(),
            given["reshaped_input_sizes"].cpu(),
        )[0]
        return masks[:, 0].numpy()


def apart(boxes_N4: np.ndarray, scores_N: np.ndarray) -> list[int]:
    """Places of the boxes, the surest first, without those that are nearly a surer one."""
    kept: list[int] = []
    for place in np.argsort(-scores_N, kind="stable"):
        if all(_overlap(boxes_N4[place], boxes_N4[other]) <= MOST_OVERLAP for other in kept):
            kept.append(int(place))
    return kept


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = max(0.0, float(width)) * max(0.0, float(height))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return common / (sum(areas) - common)


def _folder(part: str, named: str | None) -> tuple[Path, str]:
    """Where the weights lie, and what identifies them."""
    if named is None:
        raise UsageError(
            f"grounded-sam needs --{part}: a folder, or {_USUAL[part]}@ and the 40 hex digits of a commit of it."
        )
    if (path := Path(named).expanduser()).is_dir():
        return path, folder_digest(path)
    found = _HUB.fullmatch(named)
    if found is None:
        raise WeightsError(
            f"{named} is neither a folder nor owner/name@commit, with the 40 hex digits of the commit."
        )
    source = Source(part, None, found[1], found[2], "AutoModel", "")
    return fetch(source, None), named


def _load(folder: Path, model_class: Any, input_class: Any, device: str) -> tuple[Any, Any]:
    """A model and what prepares its input.

    Raises:
        WeightsError: they cannot be loaded, or a weight is missing.
    """
    from vbbench.errors import one_line

    try:
        model, report = model_class.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        prepare = input_class.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises of everything
        raise WeightsError(
            f"{folder} cannot be loaded as {model_class.__name__}: {one_line(error)[:300].rstrip('.')}."
        ) from None
    if report["missing_keys"] or report["mismatched_keys"]:
        wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        raise WeightsError(
            f"{folder} lacks weights of {model_class.__name__}: {wrong[0]}{f' and {len(wrong) - 1} more' * (len(wrong) > 1)}."
        )
    return model.eval().to(device), prepare
