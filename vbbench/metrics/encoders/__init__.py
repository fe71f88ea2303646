"""Networks that score: CLIP, DINO, the segmenter, and how frames are prepared for them."""
