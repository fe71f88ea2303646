"""Real data: image prompts cut out of videos, the released dataset's layout, its held-out split,
and checks for faults and leaks.

nouns.py           the subject's noun in a caption
segmenters.py      who finds it in the first frame, by name: colour_motion.py (no weights),
grounded_sam.py filters.py         which findings are good enough
layout.py          files of the released dataset: reading and writing
loader.py          one example after the other
build.py           from videos and captions to such a dataset: clips.py (one clip), captions.py,
records.py, sheet.py check.py           faults of such a dataset: inspection.py (one clip),
faults.py, fingerprints.py and leaks.py (the same clip in two splits) heldout.py         which clips
are held out, as a rule dreambooth.py      a suite out of a copy of the DreamBooth dataset:
dreambooth_file.py (its prompts), dreambooth_subjects.py (its folders)
"""
