"""Fine-tuning: what a model of a large text is worth to one that learns a small text, and what it forgets.

    python -m benchmarks.finetune --base kjv.txt --domains sonnets.txt greek.txt --base_minutes 3 --minutes 1

Of each domain the first 60,000 characters are learned. Figures are of validation parts: of the domain, for a model from nothing
in the same minutes (`nothing`), for the base model as it is (`untouched_bits`), and fine-tuned, without and with 30 % of each
batch from the base's text (`tuned`, `replayed`); and of the base's own text, before and after.
"""

import tempfile
from pathlib import Path

from benchmarks.quality import letterwise
from benchmarks.record import flags, record
from benchmarks.texts import fingerprint

DOMAIN_CHARS, REPLAY = 60_000, 0.3


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--base", type=Path, required=True, help="the large text")
    parser.add_argument("--domains", type=Path, nargs="+", required=True, help="small texts")
    parser.add_argument("--base_minutes", type=float, default=3.0)
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        learn = ["train", "--minutes", str(asked.base_minutes), "--input_file", str(asked.base.absolute())]
        base = letterwise(*learn, "--out", f"{folder}/base")
        for domain in asked.domains:
            text = Path(folder, domain.name)
            text.write_text(domain.read_text(encoding="utf-8")[:DOMAIN_CHARS], encoding="utf-8")
            about = dict(benchmark="finetune", base=asked.base.name, domain=domain.name, fingerprint=fingerprint(text))
            about |= dict(base_minutes=asked.base_minutes, minutes=asked.minutes)
            train = ["train", "--minutes", str(asked.minutes), "--input_file", str(text), "--overwrite"]
            nothing = letterwise(*train, "--out", f"{folder}/nothing")
            record(asked.append, **about, contender="nothing", val_nats=round(nothing["best_val_nats_per_char"], 4))
            for contender, more in (("tuned", []), ("replayed", ["--replay", str(REPLAY)])):
                tuned = letterwise(*train, "--init_from", base["model_path"], *more, "--out", f"{folder}/{contender}")
                before, after = tuned["old_bits_per_char"]
                figures = dict(val_nats=round(tuned["best_val_nats_per_char"], 4), steps=tuned["iters"])
                figures |= dict(untouched_bits=tuned["baselines"]["base model"], base_bits_before=before, base_bits_after=after)
                record(asked.append, **about, contender=contender, **figures)


if __name__ == "__main__":
    main()
