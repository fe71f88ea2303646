"""A run whose every text is out to break the page: markup, scripts, quotes, emoji, right-to-left,
control letters, and length."""

from __future__ import annotations

from tests.results.synthetic import FakeRun, Item, spec

ATTACK = "window.broken = (window.broken || 0) + 1"
SCRIPT = f"</script></style></title></textarea><script>{ATTACK}</script>"
PICTURE = f'"\'><img src=x onerror="{ATTACK}"><svg onload="{ATTACK}">'
WORDS = {
    "markup": f"a dog {SCRIPT}",
    "attributes": f"a dog {PICTURE} onmouseover={ATTACK} autofocus onfocus={ATTACK} x=",
    "comments": f"a dog <!-- <script> --!> ]]> <![CDATA[ <script>{ATTACK}//",
    "templates": "a dog {{ 7 * 7 }} {% raw %} ${7 * 7} `7` %s {0} \\u003cscript\\u003e &lt;b&gt; &#60;",
    "lines": "a dog\u2028window.broken = 1\u2029\nwindow.broken = 1\r\n\ton the beach",
    "right to left": "a dog \u202ehcaeb eht no \u2067كلب على الشاطئ עִבְרִית",
    "emoji": "a dog 🐕‍🦺 👩‍👩‍👧‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 é̷̡̧ z̴̢̛̩͓a̸͔l̶g̵o \U0001d555\U0001d560\U0001d558",
    "long words": "a dog " + "x" * 1994,
    "long text": ("a dog runs over the beach and " * 80)[:2000],
    "latex": r"a dog \write18{x} $\alpha$ 100% a_b #1 ~ ^ {unbalanced & \input{/etc/passwd}",
    "formula": '=HYPERLINK("http://example.org";"a dog")',
    "address": "javascript:window.broken=1 a dog http://example.org/x.png",
}
"""Kind -> prompt."""
MODELS = {
    f'm"{PICTURE}': (f"Model {SCRIPT}", (f"<b>{PICTURE}",)),
    "../../outside": ("Model with a path \u202e for a name", ()),
    "m" * 120: ("M" * 400, ()),
    "con": ("", ()),
    "Μοντέλο 🐕": ("Μοντέλο 🐕", ()),
    "__proto__": ("__proto__", ()),
    "constructor": ("constructor", ()),
    "real-video": (f"Real video {PICTURE}", ("references",)),
    "other-individual": ("Other individual", ("references",)),
}
METRICS = (spec("dino"), spec("clip-text"), spec(f"my-metric {PICTURE}"), spec("__proto__"))
REASON = f"no memory {SCRIPT}{PICTURE} " + "y" * 1500


def hostile_run(copies: int = 1) -> FakeRun:
    """One individual a prompt (each ``copies`` times), every model; one clip failed and one has no
    score."""
    texts = list(WORDS.values()) * copies
    made = [
        Item(
            id=f"i{number} {'' if number % 3 else PICTURE}",
            subject=f"dog {number} \"&' <b>"
            if number % 2
            else f"dog-{number}",  # also a file's name, so it holds no slash
            text=text,
            subject_word="dog" if number % 4 else "(dog",
            class_name=("dog", f"<script>{ATTACK}</script>", "__proto__", "كلب")[number % 4],
        )
        for number, text in enumerate(texts)
    ]
    first, *names = MODELS
    places = {item.id: number for number, item in enumerate(made)}

    def value(model: str, item: str, metric: str) -> float | str:
        if (model, places[item], metric) == (first, 1, "dino"):
            return REASON
        return (
            0.9
            - 0.05 * list(MODELS).index(model)
            + 0.01 * places[item]
            + (0.02 if metric == "dino" else 0)
        )

    return FakeRun(
        made,
        value,
        models=MODELS,
        metrics=METRICS,
        failed={(first, made[0].id): REASON, (names[0], made[2].id): "short"},
        missing=frozenset({(names[1], made[3].id)}),
        suite={"name": "tiny <i>&", "version": "1 </title><b>", "digest": "d1" * 32},
        settings={f"key {PICTURE}": f"value {SCRIPT}", "nested": {"<b>": [1, PICTURE]}},
    )
