# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
seed = 1  # the built-in model knows the simulated cluster of seed 1
from_day = 28  # it was trained on days 0 to 27
days = 3
attack_at = "2026-03-31T09:40:00Z"  # on the second day
model = "builtin:demo"
budget = 1.0  # incidents a day that people are willing to look at
shown = 15  # rows of the table

# %% [markdown]
# # Quickstart: score a log and read the findings
#
# Three days of a simulated cluster with one staged attack are scored with the built-in model. The result is plain JSON.

# %%
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

try:
    import polars
except ImportError:  # the standard library is enough
    polars = None


def binary() -> str:
    """The leadsman binary: LEADSMAN_BIN, else on PATH, else the release build of this checkout."""
    if os.environ.get("LEADSMAN_BIN"):
        return os.environ["LEADSMAN_BIN"]
    found = shutil.which("leadsman")
    if found:
        return found
    here = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
    for root in (here, here.parent):
        built = root / "target" / "release" / "leadsman"
        if built.is_file():
            return str(built)
    raise SystemExit("no leadsman binary: run `cargo build --release --locked`, or set LEADSMAN_BIN")


LEADSMAN = binary()


def leadsman(*args: str, cwd: str) -> dict:
    """Runs a command with --json; its document. Messages and progress stay on standard error."""
    command = [LEADSMAN, *args, "--json", "--progress", "none"]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with code {done.returncode}")
    return json.loads(done.stdout)


# %% [markdown]
# ## Telemetry with labels, then findings
#
# `labels.json` lies beside the data; `score` passes it over.

# %%
with tempfile.TemporaryDirectory(prefix="leadsman-") as work:
    period = ["--seed", str(seed), "--from-day", str(from_day), "--days", str(days)]
    leadsman("datasets", "generate", "--out", "data", *period, "--attack-at", attack_at, cwd=work)
    labels = json.loads((Path(work) / "data" / "labels.json").read_text(encoding="utf-8"))
    result = leadsman("score", "data", "--model", model, "--budget", str(budget), cwd=work)

findings = sorted(result["findings"], key=lambda f: (-f["score"], f["window"]["from"], f["id"]))
print(f"{result['events']} events and {result['samples']} samples in {result['windows']} windows: {len(findings)} findings")

# %% [markdown]
# ## The findings, strangest first

# %%
columns = ["score", "severity", "from", "entity", "kind", "per_day"]
rows = [
    [f["score"], f["severity"], f["window"]["from"], f["entity"]["id"], f["kind"], f["rarity"]["per_day"]]
    for f in findings
]


def table(names: list, body: list) -> str:
    cells = [names, *[[str(value) for value in row] for row in body]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


if polars is not None:
    print(polars.DataFrame(rows, schema=columns, orient="row"))
else:
    print(table(columns, rows[:shown]))
    print(f"{max(len(rows) - shown, 0)} more")

# %% [markdown]
# ## Why the strangest one has its score
#
# Positive points speak for strange, negative ones for normal. They sum to the score.

# %%
if findings:
    strangest = findings[0]
    print(strangest["explanation"]["sentence"])
    parts = strangest["explanation"]["contributions"]
    print(table(["points", "detector", "id", "observed"], [[c["points"], c["detector"], c["id"], c["observed"]] for c in parts]))

# %% [markdown]
# ## What was found of the attack
#
# A stage counts as found when a finding names its entity and its window overlaps the stage.
# Times are RFC 3339 in UTC with one number of digits, so they compare as text.


# %%
def finds(finding: dict, stage: dict) -> bool:
    window = finding["window"]
    return finding["entity"]["id"] == stage["entity"] and window["from"] <= stage["ends"] and window["to"] > stage["begins"]


found = [any(finds(f, stage) for f in findings) for stage in labels["stages"]]
for stage, hit in zip(labels["stages"], found):
    print(f"{'found ' if hit else 'missed'}  {stage['technique']:<10} {stage['name']}")

# %% [markdown]
# ## Claims

# %%
assert result["schema"] == "leadsman.score/v1"
assert findings, "the staged attack gives findings"
assert len({f["id"] for f in findings}) == len(findings), "an id names one finding"
for f in findings:
    points = sum(c["points"] for c in f["explanation"]["contributions"])
    assert points == f["score"], f"{f['id']}: points sum to {points}, the score is {f['score']}"
    assert 0 <= f["score"] <= 100
    assert f["window"]["from"] < f["window"]["to"]
assert sum(found) >= 5, f"{sum(found)} of {len(found)} stages were found"
print("all claims hold")
