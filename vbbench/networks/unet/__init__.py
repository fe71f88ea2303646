"""The video UNet of VideoBooth: blocks, attention over frames with injected image prompts, text
attention."""
