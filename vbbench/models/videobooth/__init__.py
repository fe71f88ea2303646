"""VideoBooth (Jiang et al., CVPR 2024): text-to-video with an image prompt."""
