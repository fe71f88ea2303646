def base_colour(rng):
    # any colour
    return rng.integers(0, 256, 3)
