"""Training VideoBooth's stages on real videos, on one or many processes.

``recipes`` says what can be trained, ``train.train`` trains it. ``draws`` says what happens at
which place of which step, ``clips`` reads it, ``augment`` changes image prompts, ``loader`` brings
it in time, ``cache`` keeps what frozen networks (``frozen``) make of it. ``objective`` is the loss,
``trainer`` and ``processes`` do the steps through accelerate, ``board`` is what a person watches.
Nothing heavy is imported here.
"""
