"""Training: one loop for every stage, and the recipes that make every shipped weight from nothing.

``recipes.train("base")`` is the door; ``loop.fit`` trains an ``objective.Objective`` with
``trainer``, ``optimizer``, ``checkpoint``, ``local_sgd`` and ``curves``; ``data`` is what it learns
from, ``rendering`` makes that, and ``objectives/`` holds one file per thing that is learned.
Nothing heavy is imported here.
"""
