"""From noise to latents: schedules, guidance, samplers and what makes their steps faster."""
